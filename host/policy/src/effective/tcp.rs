//! Connections: may this one be opened, to these addresses, under this name?

use super::Effective;
use crate::address;
use crate::refuse;
use crate::tcp::{Carried, Connecting, Endpoint, TcpAsk, TcpRule};
use sluice_model::guards::Guard;
use sluice_model::ports::{Refusal, Security};
use std::net::IpAddr;

impl Effective {
    /// May it open a connection to this host and port? Of several entries of the grant that fit, the first counts.
    pub fn may_connect(&self, host: &str, port: u16) -> Result<Connecting, Refusal> {
        let endpoint = Endpoint::parse(host, port)
            .map_err(|error| refuse::endpoint(host, port, error.to_string()))?;
        let is_asked = self.tcp_asks.iter().any(|ask| ask.rule.permits(&endpoint));
        if Guard::TcpAsked.bars(!is_asked) {
            let rules: Vec<&TcpRule> = self.tcp_asks.iter().map(|ask| &ask.rule).collect();
            return Err(refuse::tcp(self.manifest(), &rules, &endpoint));
        }
        let mut allowances = self.tcp_allowances.iter();
        let fits = allowances.find(|allowance| allowance.rule.permits(&endpoint));
        let any = || self.tcp_allowances.first();
        let Some(allowance) = fits.or_else(|| any().filter(|_| !Guard::TcpGranted.stands())) else {
            let rules = self.tcp_allowances.iter().map(|allowance| &allowance.rule);
            let rules: Vec<&TcpRule> = rules.collect();
            return Err(refuse::tcp(self.grant(), &rules, &endpoint));
        };
        let ruled = self.policy.may_reach(&self.bounds, &endpoint.host);
        ruled.map_err(|no| no.refusal("tcp", endpoint.to_string()))?;
        Ok(Connecting {
            endpoint,
            terms: allowance.terms.clone(),
        })
    }

    /// May this connection begin so?
    pub fn may_begin(&self, connecting: &Connecting, security: Security) -> Result<(), Refusal> {
        match security {
            Security::Tls => Ok(()),
            Security::Plain => {
                let ruled = self.policy.may_begin_plain();
                ruled.map_err(|no| no.refusal("tcp", connecting.endpoint.to_string()))
            }
        }
    }

    /// May these addresses, all that the connection's host resolved to, be dialled? One bad one refuses them all, as
    /// for requests.
    pub fn may_reach(&self, connecting: &Connecting, addresses: &[IpAddr]) -> Result<(), Refusal> {
        let checked = match addresses {
            [first, ..] if !Guard::TcpEveryAddress.stands() => std::slice::from_ref(first),
            all => all,
        };
        checked
            .iter()
            .try_for_each(|address| address::check(*address, &connecting.terms.networks))
            .map_err(|barred| refuse::reach(self.grant(), &connecting.endpoint, &barred))?;
        let ruled = self.policy.may_dial(addresses);
        ruled.map_err(|no| no.refusal("tcp", connecting.endpoint.to_string()))
    }

    /// May it ask the other side of this connection for a certificate under this name? For the host it connected to,
    /// and for another that it could have connected to on the same port: else a plugin could take a stranger's
    /// certificate for the word of a granted host.
    pub fn may_name(
        &self,
        connecting: &Connecting,
        server_name: &str,
    ) -> Result<Endpoint, Refusal> {
        let port = connecting.endpoint.port;
        if !Guard::TcpName.stands()
            && let Ok(named) = Endpoint::parse(server_name, port)
        {
            return Ok(named);
        }
        self.may_connect(server_name, port)
            .map(|named| named.endpoint)
    }

    /// May the connections of this one's entry have carried so much?
    pub fn may_carry(&self, connecting: &Connecting, carried: Carried) -> Result<(), Refusal> {
        let terms = &connecting.terms;
        for (key, bytes, bytes_max, guard) in [
            (
                "bytes_out_max",
                carried.bytes_out,
                terms.bytes_out_max,
                Guard::TcpBytesOut,
            ),
            (
                "bytes_in_max",
                carried.bytes_in,
                terms.bytes_in_max,
                Guard::TcpBytesIn,
            ),
        ] {
            if guard.bars(bytes > bytes_max) {
                return Err(refuse::carried(self.grant(), connecting, key, bytes_max));
            }
        }
        Ok(())
    }

    /// Whether it is to have connections at all.
    pub fn connects(&self) -> bool {
        !self.tcp_asks.is_empty()
    }

    /// Whether the grant allows any connection that this might be.
    pub(crate) fn touches_tcp(&self, ask: &TcpAsk) -> bool {
        self.tcp_allowances
            .iter()
            .any(|allowance| allowance.rule.meets(&ask.rule))
    }
}
