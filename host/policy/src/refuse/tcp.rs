//! The words of a refused connection.

use super::{File, Lines, bounded};
use crate::address::Barred;
use crate::tcp::{self, Connecting, Endpoint, TcpRule};
use sluice_model::limits::TCP_BYTES_MAX;
use sluice_model::ports::Refusal;
use sluice_model::sizes::ByteSize;

/// A connection that none of `rules` permits.
pub(crate) fn tcp(file: File<'_>, rules: &[&TcpRule], endpoint: &Endpoint) -> Refusal {
    let verb = file.asks();
    let known = rules.iter().any(|rule| rule.host.matches(&endpoint.host));
    let reason = if known {
        format!(
            "{verb} no connection to this host on port {}",
            endpoint.port
        )
    } else {
        format!("{verb} no connection to this host")
    };
    let rule = TcpRule {
        host: crate::host::HostPattern::Only(endpoint.host.clone()),
        port: endpoint.port,
    };
    let lines = Lines {
        tcp: vec![tcp::entry(&rule)],
        ..Lines::default()
    };
    Refusal {
        capability: "tcp",
        asked: bounded(&endpoint.to_string()),
        reason,
        hint: Some(format!(
            "{}:\n{}{}",
            file.place(),
            lines.text(),
            file.reason()
        )),
    }
}

/// A host that cannot be decided on.
pub(crate) fn endpoint(host: &str, port: u16, reason: String) -> Refusal {
    Refusal {
        capability: "tcp",
        asked: bounded(&format!("{host}:{port}")),
        reason,
        hint: None,
    }
}

/// An address that a granted name resolves to.
pub(crate) fn reach(file: File<'_>, endpoint: &Endpoint, barred: &Barred) -> Refusal {
    let bits = if barred.address.is_ipv4() { 32 } else { 128 };
    let line = format!("networks = [\"{}/{bits}\"]", barred.address);
    Refusal {
        capability: "tcp",
        asked: bounded(&endpoint.to_string()),
        reason: format!(
            "its host leads to `{}`, which is {}",
            barred.address, barred.what
        ),
        hint: Some(format!(
            "{}, in its `[[tcp]]` for `{}`, where that network is meant:\n{line}",
            file.place(),
            endpoint.host
        )),
    }
}

/// More bytes than one entry of the grant allows in a run.
pub(crate) fn carried(
    file: File<'_>,
    connecting: &Connecting,
    key: &str,
    bytes_max: u64,
) -> Refusal {
    let size = ByteSize(bytes_max);
    let hint = if bytes_max < TCP_BYTES_MAX {
        format!(
            "{}, in its `[[tcp]]` for `{}`, where more is meant:\n{key} = \"{}\"",
            file.place(),
            connecting.endpoint.host,
            ByteSize(bytes_max.saturating_mul(2).clamp(1, TCP_BYTES_MAX))
        )
    } else {
        "no grant can allow more: begin another run".to_owned()
    };
    Refusal {
        capability: "tcp",
        asked: bounded(&connecting.endpoint.to_string()),
        reason: format!("its connections have carried what one run may, `{key} = \"{size}\"`"),
        hint: Some(hint),
    }
}

/// A call of `wasi:sockets`, which no manifest can ask for. `asked` is the interface's word for it, with its argument.
pub fn no_sockets(asked: &str) -> Refusal {
    Refusal {
        capability: "wasi:sockets",
        asked: bounded(asked),
        reason: "a plugin has no sockets of its own".to_owned(),
        hint: Some(
            "connect through `sluice:plugin/net` and a `[[tcp]]`, or `wasi:http` and an `[[http]]`"
                .to_owned(),
        ),
    }
}
