//! The network door: DNS, address rules, HTTP, TLS, credentials. The only crate that opens sockets for plugins.
