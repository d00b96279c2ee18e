//! A server at work on `127.0.0.1` and a port of the system's choice, with a thread and a runtime of its own: started and
//! asked from anywhere, inside an async runtime or without one. Gone when dropped.

use axum::Router;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    /// Binds and serves. It answers when this returns.
    pub(crate) fn start(router: impl FnOnce(SocketAddr) -> Router) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let router = router(address);
        let thread = std::thread::Builder::new()
            .name("upstream".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = run(listener, router) => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// Serves until it is dropped. A listener that cannot be used was refused before this is called.
async fn run(listener: TcpListener, router: Router) {
    let listener =
        tokio::net::TcpListener::from_std(listener).expect("a bound, non-blocking listener");
    axum::serve(listener, router)
        .await
        .expect("axum's accept loop returns no error");
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server has been printed already, and a second one here would abort the test.
            let _ = thread.join();
        }
    }
}
