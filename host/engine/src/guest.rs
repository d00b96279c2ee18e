//! What the host keeps for one instance: its handles, its closed world, its bounds and its doors.

use crate::bounds::Bounds;
use crate::door::http::Sender;
use crate::door::log::LogMeter;
use crate::door::net::Dialer;
use crate::door::secrets::Revealing;
use crate::plugin::Context;
use crate::stderr::Stderr;
use crate::stop::Stop;
use crate::tally::Tally;
use sluice_codec::RowKey;
use sluice_model::guards::Guard;
use sluice_model::ids::StageId;
use sluice_model::limits;
use sluice_model::ports::{Observer, Refusal};
use sluice_policy::Effective;
use std::sync::Arc;
use wasmtime::UpdateDeadline;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Random bytes a guest may ask for at once: the host allocates them.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// The data of a store.
pub(crate) struct Guest {
    pub(crate) effective: Arc<Effective>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) row_key: RowKey,
    pub(crate) table: ResourceTable,
    pub(crate) bounds: Bounds,
    pub(crate) stderr: Stderr,
    pub(crate) log: LogMeter,
    pub(crate) tally: Tally,
    pub(crate) dialer: Dialer,
    pub(crate) revealing: Revealing,
    /// Epoch ticks left to the call.
    pub(crate) ticks_left: u32,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    sender: Sender,
}

impl Guest {
    /// A world without variables, arguments, directories or sockets.
    pub(crate) fn new(context: &Context) -> Self {
        let stderr = Stderr::default();
        let mut wasi = WasiCtxBuilder::new();
        wasi.stderr(stderr.clone())
            .max_random_size(Guard::RandomBytes.limit(RANDOM_BYTES_MAX))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(Guard::HeaderFields.limit(limits::HTTP_HEADER_BYTES_MAX));
        let mut table = ResourceTable::new();
        table.set_max_capacity(Guard::Handles.limit(limits::HANDLES_MAX));
        Self {
            effective: Arc::clone(&context.effective),
            observer: Arc::clone(&context.observer),
            row_key: context.row_key,
            table,
            bounds: Bounds::new(context.effective.memory_bytes_max),
            stderr,
            log: LogMeter::default(),
            tally: Tally::default(),
            dialer: Dialer::new(context.tcp.clone()),
            revealing: Revealing::new(context.secrets.clone()),
            ticks_left: 0,
            wasi: wasi.build(),
            http,
            sender: Sender::new(context),
        }
    }

    /// Requests that change something at the other end and were answered with success.
    pub(crate) fn taken(&self) -> u64 {
        self.sender.taken()
    }

    pub(crate) fn stage(&self) -> StageId {
        self.effective.stage
    }

    /// Tells the observer, and hands back the words for the guest.
    pub(crate) fn refused(&self, refusal: &Refusal) -> String {
        self.observer.refused(self.stage(), refusal);
        refusal.to_string()
    }

    /// Tells which columns it used, where that has not been told for a while.
    pub(crate) fn tell_used(&mut self) {
        if self.tally.is_full() {
            self.tally.tell(&*self.observer, self.effective.stage);
        }
    }

    /// One more epoch has passed inside the guest: give way to other work, or end the call.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        self.ticks_left = self.ticks_left.saturating_sub(1);
        if self.ticks_left == 0 {
            return Err(Stop::TimedOut.into());
        }
        Ok(UpdateDeadline::Yield(1))
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.sender,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
