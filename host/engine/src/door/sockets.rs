//! `wasi:sockets`, which no plugin is granted: language runtimes import it unasked (Python, C, and Rust's standard
//! library where it is used), so it is there, and refuses. The three calls that lead to a socket or an address are
//! refused and told; everything else needs a socket that nobody can have.
//!
//! Invariant: no call here reaches the system (test: `every_behaviour_is_contained`, of `Sockets`).

use crate::guest::Guest;
use sluice_model::guards::Guard;
use sluice_policy::no_sockets;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, IpAddress, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::{
    instance_network, tcp, tcp_create_socket, udp, udp_create_socket,
};
use wasmtime_wasi::p2::{DynPollable, Network, SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

/// Links all of it, refusing.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    if Guard::Sockets.stands() {
        tcp_create_socket::add_to_linker::<_, Refusing>(linker, Sockets::of)?;
        udp_create_socket::add_to_linker::<_, Refusing>(linker, Sockets::of)?;
        ip_name_lookup::add_to_linker::<_, Refusing>(linker, Sockets::of)?;
    } else {
        tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)?;
        udp_create_socket::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)?;
        ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)?;
    }
    // What the context of the instance does not allow either, and what needs a socket.
    let options = network::LinkOptions::default();
    network::add_to_linker::<_, WasiSockets>(linker, &options, Guest::sockets)?;
    instance_network::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)?;
    tcp::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)?;
    udp::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)
}

struct Refusing;

impl HasData for Refusing {
    type Data<'a> = Sockets<'a>;
}

/// An instance that reaches for a socket.
struct Sockets<'a>(&'a mut Guest);

impl Sockets<'_> {
    fn of(guest: &mut Guest) -> Sockets<'_> {
        Sockets(guest)
    }

    fn refuse<T>(&self, asked: &str) -> SocketResult<T> {
        self.0.refused(&no_sockets(asked));
        Err(ErrorCode::AccessDenied.into())
    }
}

impl tcp_create_socket::Host for Sockets<'_> {
    fn create_tcp_socket(&mut self, _: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.refuse("create-tcp-socket")
    }
}

impl udp_create_socket::Host for Sockets<'_> {
    async fn create_udp_socket(&mut self, _: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.refuse("create-udp-socket")
    }
}

impl ip_name_lookup::Host for Sockets<'_> {
    fn resolve_addresses(
        &mut self,
        _: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.refuse(&format!("resolve-addresses {name}"))
    }
}

/// Never called: there is no stream of addresses.
impl ip_name_lookup::HostResolveAddressStream for Sockets<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        self.0.sockets().resolve_next_address(stream)
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        self.0.sockets().subscribe(stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        ip_name_lookup::HostResolveAddressStream::drop(&mut self.0.sockets(), stream)
    }
}

/// How an error becomes the guest's; see `wasmtime_wasi`.
impl network::Host for Sockets<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.0.sockets().convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.0.sockets().network_error_code(error)
    }
}

impl network::HostNetwork for Sockets<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.0.sockets(), network)
    }
}
