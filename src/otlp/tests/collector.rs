//! A collector on the loopback interface that writes down what it gets and answers as it is told to.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::Read as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::Told;
use crate::otlp::wire::{ExportRequest, ExportResponse, PartialSuccess};

/// What the collector says to the next request; when there is nothing left, it takes everything.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    Grpc(u8, &'static str),
    /// Without a body: the status stands in the headers.
    GrpcAtOnce(u8),
    Http(u16),
    HttpLater(&'static str),
    Partly(i64),
    Nothing,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub path: String,
    pub headers: HeaderMap,
    pub resource: Vec<(String, String)>,
    pub spans: Vec<Told>,
}

#[derive(Default)]
struct State {
    got: Vec<Got>,
    says: VecDeque<Says>,
}

pub(crate) struct Mock {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Mock {
    pub async fn start() -> Self {
        Self::with_tls(None).await
    }

    pub async fn with_tls(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mock = Mock { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = Arc::clone(&mock.state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, tls) = (Arc::clone(&state), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, state).await,
                        Some(tls) => {
                            if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                                serve(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        mock
    }

    pub fn says(&self, says: impl IntoIterator<Item = Says>) {
        self.state.lock().unwrap().says = says.into_iter().collect();
    }

    pub fn got(&self) -> Vec<Got> {
        self.state.lock().unwrap().got.clone()
    }

    /// Names of all spans that came.
    pub fn names(&self) -> Vec<String> {
        self.got().into_iter().flat_map(|got| got.spans).map(|told| told.name).collect()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let state = Arc::clone(&state);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let is_grpc = parts.headers["content-type"] == "application/grpc";
            let message = if is_grpc { unframed(&parts.headers, &body) } else { unpacked(&parts.headers, &body) };
            let said = {
                let mut state = state.lock().unwrap();
                state.got.push(Got { path: parts.uri.path().to_owned(), headers: parts.headers, ..read(&message) });
                state.says.pop_front()
            };
            Ok::<_, Infallible>(answer(is_grpc, said).await)
        }
    });
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

fn unframed(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let (head, message) = body.split_at(5);
    assert_eq!(u32::from_be_bytes(head[1..].try_into().unwrap()) as usize, message.len());
    assert_eq!(headers["te"], "trailers");
    let is_packed = headers.get("grpc-encoding").is_some_and(|encoding| encoding == "gzip");
    assert_eq!(head[0], u8::from(is_packed));
    if is_packed { gunzip(message) } else { message.to_vec() }
}

fn unpacked(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let is_packed = headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip");
    if is_packed { gunzip(body) } else { body.to_vec() }
}

fn gunzip(packed: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut message).unwrap();
    message
}

fn read(message: &[u8]) -> Got {
    let request = ExportRequest::decode(message).unwrap();
    let [one] = <[_; 1]>::try_from(request.resource_spans).unwrap();
    let text = |attribute: crate::otlp::wire::KeyValue| match attribute.value.unwrap().value.unwrap() {
        crate::otlp::wire::Value::Text(text) => (attribute.key, text),
        other => panic!("{other:?}"),
    };
    Got {
        path: String::new(),
        headers: HeaderMap::new(),
        resource: one.resource.unwrap().attributes.into_iter().map(text).collect(),
        spans: one.scope_spans.into_iter().flat_map(|scope| scope.spans).map(Told::from).collect(),
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(is_grpc: bool, said: Option<Says>) -> Response<Body> {
    match said {
        None if is_grpc => grpc(0, "", Vec::new()),
        None => Response::new(Full::default().boxed()),
        Some(Says::Grpc(code, message)) => grpc(code, message, Vec::new()),
        Some(Says::GrpcAtOnce(code)) => {
            let mut answer = Response::new(Full::default().boxed());
            answer.headers_mut().insert("grpc-status", code.to_string().parse().unwrap());
            answer
        }
        Some(Says::Http(status)) => Response::builder().status(status).body(Full::default().boxed()).unwrap(),
        Some(Says::HttpLater(seconds)) => {
            let answer = Response::builder().status(503).header("retry-after", seconds);
            answer.body(Full::default().boxed()).unwrap()
        }
        Some(Says::Partly(rejected_spans)) => {
            let partial = PartialSuccess { rejected_spans, error_message: "too long".to_owned() };
            let message = ExportResponse { partial_success: Some(partial) }.encode_to_vec();
            if is_grpc { grpc(0, "", message) } else { Response::new(Full::new(message.into()).boxed()) }
        }
        Some(Says::Nothing) => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Response::new(Full::default().boxed())
        }
    }
}

/// A message, maybe empty, and the status in the trailers.
fn grpc(code: u8, said: &str, message: Vec<u8>) -> Response<Body> {
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.to_string().parse().unwrap());
    trailers.insert("grpc-message", said.parse().unwrap());
    let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(trailers)) });
    Response::builder().header("content-type", "application/grpc").body(body.boxed()).unwrap()
}
