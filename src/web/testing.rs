//! The server without sockets, for tests of what stands behind it.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::sync::mpsc;

use super::{
    ReloadRequest, WebOptions,
    service::{self, Service},
};
use crate::{
    api::{Answer, Api},
    random::Random,
    ui::{Ui, UiParts},
};

/// See the module.
pub(crate) struct TestServer {
    service: Service,
    _reload: mpsc::Receiver<ReloadRequest>,
}

impl TestServer {
    pub fn new(api: &Arc<Api>, options: &WebOptions) -> Self {
        let (sender, reload) = mpsc::channel(1);
        let file = service::open_file(options.config_file.as_ref()).unwrap();
        let external_url = "https://am.example/path".into();
        let ui = Ui::new(UiParts { api: Arc::clone(api), random: Random::seeded(7), external_url, flags: Vec::new() });
        TestServer { service: Service::new(options, file, Arc::clone(api), ui, sender), _reload: reload }
    }

    pub async fn answer(&self, request: Request<Full<Bytes>>) -> Answer {
        self.service.answer(request).await
    }
}
