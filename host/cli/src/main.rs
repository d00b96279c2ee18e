//! The `sluice` binary: arguments in, text out. Everything it does is in `sluice-service`; everything it prints is
//! here.

mod arguments;
mod audit;
mod commands;
mod progress;
mod show;
mod table;

use arguments::{Arguments, Command};
use clap::Parser as _;
use sluice_service::Error;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let began = Instant::now();
    let arguments = Arguments::parse();
    // A service tells what it does without being asked.
    let serves = matches!(arguments.command, Command::Serve { .. });
    start_log(arguments.verbose + u8::from(serves), arguments.json);
    if let Some(guard) = sluice_model::guards::off() {
        tracing::warn!(
            guard = guard.word(),
            "a guard is switched off in this debug build"
        );
    }
    leave_no_memory_behind();
    match work(&arguments, began) {
        Ok(code) => code,
        Err(error) => {
            show::error(&error, arguments.json);
            ExitCode::from(error.exit_code())
        }
    }
}

fn work(arguments: &Arguments, began: Instant) -> Result<ExitCode, Error> {
    let json = arguments.json;
    match &arguments.command {
        Command::Run { pipeline, record } => {
            commands::run(pipeline, record.as_deref(), json, began)
        }
        Command::Serve { here } => commands::serve(&here.dir),
        Command::Status { here } => commands::status(&here.dir, json),
        Command::Pause {
            pipeline,
            reason,
            here,
        } => commands::pause(pipeline, reason.as_deref(), &here.dir, json),
        Command::Resume { pipeline, here } => commands::resume(pipeline, &here.dir, json),
        Command::Check { pipeline } => commands::check(pipeline, json),
        Command::Plugin(command) => commands::plugin(command, json),
        Command::Grant(command) => commands::grant(command, json),
        Command::Checkpoint(command) => commands::checkpoint(command, json),
        Command::Dlq(command) => commands::dlq(command, json),
        Command::Secret(command) => commands::secret(command, json),
        Command::Key(command) => commands::key(command, json),
        Command::State(command) => commands::state(command, json),
        Command::Audit(command) => audit::audit(command, json),
    }
}

/// A crash must not write keys and secrets into a file.
fn leave_no_memory_behind() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps cannot be turned off: a crash may write secrets to the disk");
    }
}

/// Logs go to standard error: text for people, one JSON object a line with `--json`.
fn start_log(verbose: u8, json: bool) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("SLUICE_LOG").unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new(format!(
            "{level},wasmtime=warn,cranelift=warn,hyper=warn"
        ))
    });
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    if json {
        log.json().init();
    } else {
        log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init();
    }
}
