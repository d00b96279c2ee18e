//! Packets of the protocol of MySQL over a connection of the host's. Deliberately no meaning of any packet.

use bytes::BytesMut;
use mysql_common::proto::codec::PacketCodec;
use mysql_common::proto::codec::error::PacketCodecError;
use sluice_sdk::Fault;
use sluice_sdk::net::{Connection, NetError, READ_BYTES_MAX, Security};

/// Bytes of one packet, either way: a row is one. Stops a server that announces more than the plugin may hold.
pub(crate) const PACKET_BYTES_MAX: usize = 24 << 20;

/// How often in one statement nothing may arrive for a minute, which is the host's longest wait. A page that is sorted, or
/// rows that go through slow triggers, take longer than one. As long as the server itself gives a statement, and below the
/// host's time for a call: a server that hangs is told as one.
const SILENCES_MAX: u8 = 4;

/// A connection that carries packets.
pub(crate) struct Wire {
    connection: Connection,
    codec: PacketCodec,
    received: BytesMut,
    packet: Vec<u8>,
    /// How many more silences are borne.
    silences: u8,
}

impl Wire {
    /// In the clear.
    pub(crate) fn open(host: &str, port: u16) -> Result<Self, Fault> {
        let mut codec = PacketCodec::default();
        codec.max_allowed_packet = PACKET_BYTES_MAX;
        Ok(Self {
            connection: Connection::open(host, port, Security::Plain)?,
            codec,
            received: BytesMut::new(),
            packet: Vec::new(),
            // A login has no reason to take longer.
            silences: 1,
        })
    }

    /// Makes TLS of it.
    pub(crate) fn upgrade(&mut self, host: &str) -> Result<(), Fault> {
        // What came behind the greeting in the clear would be taken for the server's word.
        if !self.received.is_empty() {
            let message = "the server says more than a greeting before TLS";
            return Err(Fault::broken(message));
        }
        Ok(self.connection.upgrade(host)?)
    }

    /// The next packet, where it came whole.
    pub(crate) fn next(&mut self) -> Result<&[u8], Fault> {
        self.packet.clear();
        loop {
            let is_whole = self.codec.decode(&mut self.received, &mut self.packet);
            if is_whole.map_err(|error| unusable(&error))? {
                return Ok(&self.packet);
            }
            let bytes = match self.connection.receive(READ_BYTES_MAX, None) {
                Err(NetError::Timeout(_)) if self.silences > 1 => {
                    self.silences -= 1;
                    continue;
                }
                received => received?,
            };
            if bytes.is_empty() {
                return Err(Fault::transient("the server ended the connection"));
            }
            self.received.extend_from_slice(&bytes);
        }
    }

    /// An answer to the packet before.
    pub(crate) fn send(&mut self, mut packet: &[u8]) -> Result<(), Fault> {
        let mut bytes = BytesMut::new();
        let encoded = self.codec.encode(&mut packet, &mut bytes);
        encoded.map_err(|error| unusable(&error))?;
        Ok(self.connection.send(&bytes)?)
    }

    /// A command, with which the counting of packets begins anew.
    pub(crate) fn command(&mut self, packet: &[u8]) -> Result<(), Fault> {
        self.codec.reset_seq_id();
        self.silences = SILENCES_MAX;
        self.send(packet)
    }
}

fn unusable(error: &PacketCodecError) -> Fault {
    match error {
        PacketCodecError::PacketTooLarge => Fault::broken(format!(
            "a packet of more than {} MiB",
            PACKET_BYTES_MAX >> 20
        )),
        error => Fault::transient(format!("the server's answer cannot be read: {error}")),
    }
}
