//! What it does with its connections, beside using them well. The outcome is the text of a fault.

use crate::{Config, postgres};
use serde::Deserialize;
use sluice_sdk::net::{Connection, NetError, Security};
use sluice_sdk::{Fault, secret};

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Try {
    /// Logs in.
    #[default]
    Login,
    /// Connects, and says what came of it.
    Connect,
    /// Opens a thousand connections and lets go of none.
    Hoard,
    /// Opens a thousand connections, each after it has let go of the one before.
    Churn,
    /// Connects and panics.
    Panic,
    /// Reads where nothing comes.
    Wait,
    /// Writes more than one call may hold.
    WriteHuge,
    /// Reads with the largest number there is.
    ReadHuge,
    /// Upgrades twice.
    UpgradeTwice,
    /// Writes after the end.
    WriteAfterEnd,
    /// Asks for a secret, and says how long it is.
    Reveal,
    /// Asks for a secret a thousand times.
    RevealOften,
}

const MANY: usize = 1_000;

pub fn run(config: &Config) -> Result<(), Fault> {
    let open = || Connection::open(&config.host, config.port, Security::Plain);
    match config.attempt {
        Try::Login => return postgres::Session::open(config).map(drop),
        Try::Connect => {
            open()?;
        }
        Try::Hoard => {
            let mut held = Vec::new();
            while held.len() < MANY {
                match open() {
                    Ok(connection) => held.push(connection),
                    Err(error) => return Err(outcome(held.len(), &error)),
                }
            }
        }
        Try::Churn => {
            for times in 0..MANY {
                if let Err(error) = open() {
                    return Err(outcome(times, &error));
                }
            }
        }
        Try::Panic => {
            let _open = open()?;
            panic!("with a connection in hand");
        }
        Try::Wait => {
            let wait = std::time::Duration::from_millis(20);
            let error = open()?.receive(1, Some(wait)).map(|bytes| bytes.len());
            return Err(Fault::broken(format!("{error:?}")));
        }
        Try::WriteHuge => {
            // Past the SDK, which would cut it.
            use sluice_sdk::bindings::capabilities::sluice::plugin::net::Connection as Bare;
            let bare = Bare::connect(&config.host, config.port, Security::Plain)?;
            bare.write(&vec![0; (1 << 20) + 1])?;
        }
        Try::ReadHuge => {
            use sluice_sdk::bindings::capabilities::sluice::plugin::net::Connection as Bare;
            let bare = Bare::connect(&config.host, config.port, Security::Plain)?;
            bare.write(b"?")?;
            let bytes = bare.read(u32::MAX, Some(u32::MAX))?;
            return Err(Fault::broken(format!("{} bytes", bytes.len())));
        }
        Try::UpgradeTwice => postgres::secured(config)?.upgrade(&config.host)?,
        Try::WriteAfterEnd => {
            let mut connection = open()?;
            connection.shutdown()?;
            connection.send(b"more")?;
        }
        Try::Reveal => {
            let length = secret::reveal_optional(&config.secret)?.map(|value| value.bytes().len());
            return Err(Fault::broken(format!("{length:?}")));
        }
        Try::RevealOften => {
            for times in 0..MANY {
                if let Err(fault) = secret::reveal(&config.secret) {
                    return Err(Fault::broken(format!("{times} times, then {fault:?}")));
                }
            }
        }
    }
    Ok(())
}

fn outcome(times: usize, error: &NetError) -> Fault {
    Fault::broken(format!("{times} times, then {error:?}"))
}
