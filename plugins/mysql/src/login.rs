//! How a session begins: a greeting in the clear, TLS by the host, and an answer to the server's challenge, by which no
//! password is told; or the password itself, to a server whose certificate is known by then and that keeps no more than a
//! hash of it in memory.

use crate::config::Config;
use crate::refusal::Refusal;
use crate::wire::{PACKET_BYTES_MAX, Wire};
use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin as _, Context, Response};
use mysql_common::collations::CollationId;
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{
    AuthMoreData, AuthPlugin, AuthSwitchRequest, ErrPacket, HandshakePacket, HandshakeResponse,
    SslRequest,
};
use mysql_common::proto::MySerialize;
use sluice_sdk::{Fault, secret};

/// What the first byte of an answer says.
pub(crate) const OK: u8 = 0x00;
pub(crate) const ERR: u8 = 0xff;
const MORE: u8 = 0x01;
const SWITCH: u8 = 0xfe;

/// What both sides are to keep to. Deliberately neither several statements in one nor files of ours.
pub(crate) const CAPABILITIES: CapabilityFlags = CapabilityFlags::CLIENT_PROTOCOL_41
    .union(CapabilityFlags::CLIENT_LONG_PASSWORD)
    .union(CapabilityFlags::CLIENT_LONG_FLAG)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(CapabilityFlags::CLIENT_CONNECT_WITH_DB)
    .union(CapabilityFlags::CLIENT_SSL);

/// Answers that a login may take: more is a server that plays.
const ROUNDS_MAX: usize = 8;

/// A connection that is logged in.
pub(crate) struct Login {
    pub(crate) wire: Wire,
    /// Whether it is MariaDB, by its own word.
    pub(crate) is_mariadb: bool,
}

/// What the library makes an answer of.
struct Secrets<'s> {
    password: &'s [u8],
    scramble: &'s [u8],
}

impl Context for &Secrets<'_> {
    fn pass(&self) -> &[u8] {
        self.password
    }

    fn is_ipc_transport(&self) -> bool {
        false
    }

    fn is_tls_transport(&self) -> bool {
        true
    }

    fn scramble(&self) -> &[u8] {
        self.scramble
    }

    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

impl Login {
    /// Connects, makes TLS of it, and logs in with the secret `password`.
    pub(crate) fn open(config: &Config) -> Result<Self, Fault> {
        let mut wire = Wire::open(&config.host, config.port)?;
        let greeting = greeting(&mut wire)?;
        let capabilities = CAPABILITIES & greeting.capabilities();
        if !capabilities.contains(CapabilityFlags::CLIENT_SSL) {
            let hint = "hint: `ssl_cert` and `ssl_key` in its settings";
            return Err(Fault::misconfigured(format!(
                "the server has no TLS; {hint}"
            )));
        }
        let collation = CollationId::UTF8MB4_GENERAL_CI as u8;
        let size = PACKET_BYTES_MAX as u32;
        wire.send(&bytes(&SslRequest::new(capabilities, size, collation)))?;
        wire.upgrade(&config.host)?;
        let is_mariadb = greeting.server_version_str().contains("MariaDB");
        authenticate(&mut wire, config, &greeting, capabilities)?;
        Ok(Self { wire, is_mariadb })
    }
}

fn greeting(wire: &mut Wire) -> Result<HandshakePacket<'static>, Fault> {
    let packet = wire.next()?;
    if packet.first() == Some(&ERR) {
        return Err(refused(packet));
    }
    let greeting = ParseBuf(packet).parse::<HandshakePacket<'_>>(());
    let greeting = greeting.map_err(|_| unreadable("its greeting"))?;
    if greeting.protocol_version() != 10 {
        let message = "what answers there is no MariaDB and no MySQL";
        return Err(Fault::misconfigured(message));
    }
    Ok(greeting.into_owned())
}

fn authenticate(
    wire: &mut Wire,
    config: &Config,
    greeting: &HandshakePacket<'_>,
    capabilities: CapabilityFlags,
) -> Result<(), Fault> {
    let password = secret::reveal("password")?;
    let nonce = greeting.nonce();
    // A server that begins with what we do not speak is answered in what all do, and asks for what this user has.
    let plugin = greeting.auth_plugin().filter(is_spoken);
    let plugin = plugin.unwrap_or(AuthPlugin::MysqlNativePassword);
    let mut challenge = nonce.clone();
    let mut procedure = begun(&plugin)?;
    let answer = |procedure: &mut AuthProc, challenge: &[u8]| {
        let secrets = Secrets {
            password: password.bytes(),
            scramble: &nonce,
        };
        let answer: Result<Response, _> = procedure.run(&secrets, challenge);
        answer.map_err(|_| unreadable("its challenge"))
    };
    let first = answer(&mut procedure, &challenge)?;
    let response = HandshakeResponse::new(
        first.data(),
        (5, 5, 5),
        Some(config.user.as_bytes()),
        Some(config.database.as_bytes()),
        Some(plugin.borrow()),
        capabilities,
        None,
        PACKET_BYTES_MAX as u32,
    );
    wire.send(&bytes(&response))?;
    for _ in 0..ROUNDS_MAX {
        let packet = wire.next()?;
        match packet.first() {
            Some(&OK) => return Ok(()),
            Some(&ERR) => return Err(refused(packet)),
            Some(&SWITCH) => {
                let switch = ParseBuf(packet).parse::<AuthSwitchRequest<'_>>(());
                let switch = switch.map_err(|_| unreadable("its challenge"))?;
                procedure = begun(&switch.auth_plugin())?;
                challenge = switch.plugin_data().to_vec();
            }
            Some(&MORE) => {
                let more = ParseBuf(packet).parse::<AuthMoreData<'_>>(());
                let more = more.map_err(|_| unreadable("its challenge"))?;
                challenge = more.data().to_vec();
            }
            _ => return Err(unreadable("to the login")),
        }
        if let Some(data) = answer(&mut procedure, &challenge)?.data() {
            wire.send(data)?;
        }
    }
    Err(unreadable("to the login"))
}

/// Ways to log in that tell no password to whoever has no certificate, and are in use.
fn is_spoken(plugin: &AuthPlugin<'_>) -> bool {
    matches!(
        plugin,
        AuthPlugin::MysqlNativePassword | AuthPlugin::CachingSha2Password
    )
}

fn begun(plugin: &AuthPlugin<'_>) -> Result<AuthProc, Fault> {
    let procedure = plugin.init().ok().filter(|_| is_spoken(plugin));
    procedure.ok_or_else(|| {
        let name = String::from_utf8_lossy(plugin.as_bytes()).into_owned();
        Fault::misconfigured(format!(
            "the server asks this user to log in by `{name}`; hint: a user `IDENTIFIED VIA mysql_native_password` or `WITH caching_sha2_password`"
        ))
    })
}

/// What an error says.
pub(crate) fn error(packet: &[u8]) -> Option<Refusal> {
    let error = ParseBuf(packet).parse::<ErrPacket<'_>>(CapabilityFlags::CLIENT_PROTOCOL_41);
    match error.ok()? {
        ErrPacket::Error(error) => Some(Refusal::of(&error)),
        ErrPacket::Progress(_) => None,
    }
}

fn refused(packet: &[u8]) -> Fault {
    error(packet).map_or_else(|| unreadable("of an error"), |refusal| refusal.fault())
}

/// The server's answer to something cannot be read.
pub(crate) fn unreadable(what: &str) -> Fault {
    Fault::transient(format!("the server's answer {what} cannot be read"))
}

pub(crate) fn bytes(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, DONE, PASSWORD, Seen, frame, greeted};

    /// A login against a server that greets so, and then says these packets, each with its number. The request for TLS is
    /// packet 1, and the answer to the challenge is packet 2.
    fn login(greeting: Vec<u8>, says: &[(u8, &[u8])]) -> (Result<Login, Fault>, Seen) {
        let answers = says.iter().map(|(number, packet)| frame(*number, packet));
        let seen = fake::says([greeting].into_iter().chain(answers).collect());
        let login = Login::open(&fake::config());
        (login, seen.take())
    }

    fn has_password(bytes: &[u8]) -> bool {
        bytes
            .windows(PASSWORD.len())
            .any(|window| window == PASSWORD.as_bytes())
    }

    fn told(login: Result<Login, Fault>) -> String {
        login.err().expect("a refusal").to_string()
    }

    #[test]
    fn a_challenge_is_answered_without_the_password() {
        for (plugin, says) in [
            ("mysql_native_password", &[(3, DONE)][..]),
            ("caching_sha2_password", &[(3, &[MORE, 3]), (4, DONE)]),
        ] {
            let (login, seen) = login(greeted(plugin, CAPABILITIES), says);
            assert!(login.is_ok_and(|login| !login.is_mariadb), "{plugin}");
            assert_eq!(seen.upgraded.as_deref(), Some("db.example"));
            assert!(!has_password(&seen.in_clear) && !has_password(&seen.in_tls));
        }
    }

    #[test]
    fn a_server_that_knows_no_hash_yet_is_told_the_password_within_tls() {
        let says = [(3, &[MORE, 4][..]), (5, DONE)];
        let (login, seen) = login(greeted("caching_sha2_password", CAPABILITIES), &says);
        assert!(login.is_ok());
        assert!(has_password(&seen.in_tls) && !has_password(&seen.in_clear));
    }

    #[test]
    fn nobody_asks_for_the_password_itself() {
        let switch = [&[SWITCH][..], b"mysql_clear_password\0"].concat();
        let (refused, seen) = login(
            greeted("mysql_native_password", CAPABILITIES),
            &[(3, switch.as_slice())],
        );
        let told = told(refused);
        assert!(told.starts_with("misconfigured") && told.contains("`mysql_clear_password`"));
        assert!(!has_password(&seen.in_tls));
    }

    #[test]
    fn nothing_is_said_without_tls() {
        let bare = CAPABILITIES - CapabilityFlags::CLIENT_SSL;
        let (refused, seen) = login(greeted("mysql_native_password", bare), &[]);
        assert!(told(refused).contains("the server has no TLS"));
        assert!(seen.in_clear.is_empty() && seen.upgraded.is_none());
    }

    #[test]
    fn more_than_a_greeting_in_the_clear_is_an_attack() {
        let mut greeting = greeted("mysql_native_password", CAPABILITIES);
        greeting.extend(frame(2, DONE));
        let (refused, seen) = login(greeting, &[]);
        assert!(told(refused).contains("more than a greeting"));
        assert!(seen.upgraded.is_none());
    }

    #[test]
    fn a_login_has_an_end() {
        let more: Vec<(u8, &[u8])> = (0..ROUNDS_MAX as u8)
            .map(|round| {
                let switch: &[u8] = b"\xfemysql_native_password\0abcdefghijklmnopqrst\0";
                (3 + 2 * round, switch)
            })
            .collect();
        let (endless, seen) = login(greeted("mysql_native_password", CAPABILITIES), &more);
        assert!(told(endless).contains("to the login"));
        assert!(!has_password(&seen.in_tls));
    }

    #[test]
    fn a_refusal_at_any_point_is_told() {
        let denied = b"\xff\x15\x04#28000Access denied for user 'u'";
        let (refused, _) = login(
            greeted("mysql_native_password", CAPABILITIES),
            &[(3, denied)],
        );
        assert!(told(refused).starts_with("unauthorized"));
        let full = frame(0, b"\xff\x10\x04Too many connections");
        assert!(told(login(full, &[]).0).starts_with("transient"));
        let (endless, _) = login(
            greeted("caching_sha2_password", CAPABILITIES),
            &[(3, &[MORE, 9])],
        );
        assert!(told(endless).contains("its challenge"));
        assert!(told(login(frame(0, b"\x09old"), &[]).0).contains("cannot be read"));
    }
}
