//! The HTTP server: listeners, TLS, passwords, limits, and the pages outside of the API.
//!
//! Bytes come in from the network and requests go out to [`Api`]; the rest of the program is known by that
//! handle, the metrics and one channel, on which a reload is asked for. Reference: server.md 2, 3, 6 and 7.
//!
//! Start-up has two steps, so that a busy port or a wrong web configuration file is found before anything
//! else is begun: [`Web::bind`] opens, [`Web::serve`] answers.

mod auth;
mod file;
mod limits;
mod listen;
mod pages;
mod rewake;
mod routes;
mod serve;
mod service;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinSet,
};

pub(crate) use self::file::{ServerSection, ServerTls};
use self::{
    file::Acceptor,
    serve::Server,
    service::{OpenFile, Service},
};
pub use self::{file::WebFileError, listen::ListenError, serve::CONNECTIONS_MAX};
use crate::{api::Api, ui::Ui};

/// What the flags say.
#[derive(Clone, Debug, Default)]
pub struct WebOptions {
    /// `host:port`, host maybe empty or in brackets.
    pub listen_addresses: Vec<String>,
    /// Take the sockets that systemd hands over instead.
    pub systemd_socket: bool,
    pub config_file: Option<PathBuf>,
    /// `--web.route-prefix`, or the path of the external URL.
    pub route_prefix: String,
    /// 0: as many as there are processors, at least 8.
    pub get_concurrency: usize,
    /// For each request; `None` or zero: unlimited.
    pub timeout: Option<Duration>,
    /// Files and connections that the process may have open; `None`: unlimited.
    pub open_files_max: Option<u64>,
}

/// A request to load the configuration again; the result is sent back.
pub type ReloadRequest = oneshot::Sender<Result<(), ReloadFailed>>;

/// Why the configuration was not loaded.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReloadFailed(pub String);

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    File(#[from] WebFileError),
}

/// A server that listens and does not answer yet.
pub struct Web {
    options: WebOptions,
    listeners: Vec<TcpListener>,
    file: Option<OpenFile>,
    tls: Option<Acceptor>,
}

impl Web {
    /// Reads the web configuration file with all that it names, and opens the sockets.
    ///
    /// # Errors
    /// Either is not possible; the text says which file or address.
    pub async fn bind(options: WebOptions) -> Result<Self, WebError> {
        let file = service::open_file(options.config_file.as_ref())?;
        let tls = file.as_ref().and_then(|(file, settings)| {
            settings.tls.is_some().then(|| Acceptor::new(Arc::clone(file), settings.http2))
        });
        if let Some(tls) = &tls {
            tls.current()?;
        }
        let listeners = if options.systemd_socket {
            listen::from_systemd()?
        } else {
            listen::open(&options.listen_addresses).await?
        };
        Ok(Web { options, listeners, file, tls })
    }

    /// Where it listens, in order of the flags.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Answers requests until `stop` is true (or its sender gone). Requests under way may then finish within
    /// `drain`; idle connections are closed at once.
    pub async fn serve(
        self,
        api: Arc<Api>,
        ui: Arc<Ui>,
        reload: mpsc::Sender<ReloadRequest>,
        stop: watch::Receiver<bool>,
        drain: Duration,
    ) {
        let http2 = self.tls.is_some() && self.file.as_ref().is_some_and(|(_, settings)| settings.http2);
        let encryption = if self.tls.is_some() { "TLS is enabled." } else { "TLS is disabled." };
        for address in self.addresses() {
            tracing::info!(%address, "Listening on");
            tracing::info!(http2, %address, "{encryption}");
        }
        let metrics = Arc::clone(&api.metrics);
        let service = Arc::new(Service::new(&self.options, self.file, api, ui, reload));
        let places = Arc::new(Semaphore::new(serve::connections_max(self.options.open_files_max)));
        let server = Arc::new(Server { service, tls: self.tls, metrics, places });
        let mut loops = JoinSet::new();
        for listener in self.listeners {
            loops.spawn(Arc::clone(&server).run(listener, stop.clone(), drain));
        }
        loops.join_all().await;
    }
}
