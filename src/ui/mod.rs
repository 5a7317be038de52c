//! The web pages: see, silence, understand.
//!
//! HTML is made here, by templates that are part of the program, from the same handles that the API has. Everything
//! can be read, silenced and expired without a script; the one script (`assets/script.js`) adds live updates,
//! suggestions and keys. One file a page: [`alerts`], [`silences`], [`editor`], [`expire`], [`why`], [`cluster`],
//! [`routes`], [`status`]; what they share is in [`scene`] (what there is to show), [`filter`], [`shell`] (what stands
//! around each page), [`html`], [`marks`] and [`when`].
//!
//! All links are relative, so that the pages work below any prefix and behind a proxy that has a path of its own.
//! Nothing here knows sockets, passwords or the cluster's ways: `web` hands in requests with the visitor's name.
//!
//! Labels, annotations and comments are hostile: [`html`] and the templates escape all of them, and the
//! Content-Security-Policy allows no script, style or request but this server's own files. Changes need what [`csrf`]
//! asks for.

mod alerts;
mod ask;
mod cluster;
mod csrf;
mod editor;
mod expire;
mod filter;
mod help;
mod html;
mod lines;
mod live;
mod marks;
mod matrix;
mod narrow;
mod past;
mod place;
mod preview;
mod routes;
mod rows;
mod scene;
mod shell;
mod silences;
mod status;
mod story;
mod suggest;
mod when;
mod why;
mod wish;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use askama::Template;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Body as HttpBody;
use tokio::sync::Semaphore;
use xxhash_rust::xxh64::xxh64;

pub use self::{ask::Visitor, place::Place};
use self::{
    ask::{Ask, Pairs, cookie_text},
    csrf::Secret,
    scene::{Scene, Stage},
    when::When,
};
use crate::{
    api::{Answer, Api, Body},
    cli::ShownFlag,
    random::Random,
};

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/script.js");

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

/// A form is a few matchers and a comment.
const FORM_BYTES_MAX: usize = 256 * 1024;
/// So many are read at once; others wait.
const FORMS_MAX: usize = 32;

/// The cookies of the reader's time zone and of the author of the last silence.
const ZONE_COOKIE: &str = "carillon_tz";
const AUTHOR_COOKIE: &str = "carillon_author";

/// What the pages are made from.
pub struct UiParts {
    pub api: Arc<Api>,
    pub random: Random,
    /// `--web.external-url`.
    pub external_url: String,
    /// In the order of `--help`.
    pub flags: Vec<ShownFlag>,
}

/// See the module.
pub struct Ui {
    api: Arc<Api>,
    random: Random,
    /// Scheme, host and port of the external URL.
    origin: String,
    stage: Stage,
    forms: Semaphore,
    flags: Vec<ShownFlag>,
    /// Changes with the files, so that browsers may keep them.
    assets: String,
}

impl Ui {
    #[must_use]
    pub fn new(parts: UiParts) -> Arc<Self> {
        let origin = url::Url::parse(&parts.external_url).map(|url| url.origin().ascii_serialization());
        let assets = format!("{:08x}", xxh64(STYLE.as_bytes(), xxh64(SCRIPT.as_bytes(), 0)) >> 32);
        Arc::new(Ui {
            api: parts.api,
            random: parts.random,
            origin: origin.unwrap_or_default(),
            stage: Stage::default(),
            forms: Semaphore::new(FORMS_MAX),
            flags: parts.flags,
            assets,
        })
    }

    /// Answers a request for `place`.
    pub async fn handle<B>(&self, place: Place<'_>, request: Request<B>, visitor: Visitor) -> Answer
    where
        B: HttpBody<Data = Bytes>,
    {
        let (parts, body) = request.into_parts();
        if !place.methods().contains(&parts.method) {
            return not_allowed(place);
        }
        match place {
            Place::Style => return asset(STYLE, "text/css; charset=utf-8"),
            Place::Script => return asset(SCRIPT, "text/javascript; charset=utf-8"),
            _ => {}
        }
        let known = Secret::of(&parts.headers);
        let secret = known.unwrap_or_else(|| Secret::new(&self.random));
        let form = match self.read_form(&parts.method, body).await {
            Ok(form) => form,
            Err(answer) => return answer,
        };
        let ask = Ask {
            query: Pairs::parse(parts.uri.query().unwrap_or_default().as_bytes()),
            form,
            when: When::new(self.api.clock.now(), cookie_text(&parts.headers, ZONE_COOKIE).as_deref()),
            visitor,
            author: cookie_text(&parts.headers, AUTHOR_COOKIE),
            root: if place == Place::Preview { root_of_editor(&parts) } else { place.root() },
            token: secret.token(&self.random),
        };
        let mut answer = if parts.method == Method::POST {
            self.change(place, &ask, &parts.headers, known).await
        } else {
            self.show(place, &ask).await
        };
        if known.is_none()
            && let Ok(value) = HeaderValue::from_str(&secret.cookie())
        {
            answer.headers_mut().append(header::SET_COOKIE, value);
        }
        answer
    }

    async fn show(&self, place: Place<'_>, ask: &Ask) -> Answer {
        if place == Place::Suggest {
            let (scene, _) = self.stage.rough_scene(&self.api).await;
            return self.suggest_piece(&scene, ask);
        }
        let scene = self.scene().await;
        match place {
            Place::Alerts => self.alerts_page(&scene, ask),
            Place::Group => self.group_rows(&scene, ask),
            Place::Silences => self.silences_page(&scene, ask).await,
            Place::Silence(id) => self.silence_page(&scene, ask, id).await,
            Place::NewSilence => self.editor_page(&scene, ask, None),
            Place::EditSilence(id) => self.editor_page(&scene, ask, Some(id)),
            Place::Preview => self.preview_piece(&scene, ask),
            Place::ExpireSilence(id) => self.expire_page(&scene, ask, &[&decoded(id)], true),
            Place::ExpireSilences => self.expire_page(&scene, ask, &ask.query.all("id").collect::<Vec<_>>(), false),
            Place::Why => self.why_search(&scene, ask).await,
            Place::WhyAlert(id) => self.why_page(&scene, ask, id).await,
            Place::Cluster => self.cluster_page(&scene, ask).await,
            Place::Routes => self.routes_page(&scene, ask),
            Place::Status => self.status_page(&scene, ask).await,
            Place::Help => self.help_page(&scene, ask),
            Place::Live => self.live_piece(&scene, ask),
            // Answered above.
            Place::Suggest | Place::Style | Place::Script => plain(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    async fn change(&self, place: Place<'_>, ask: &Ask, headers: &HeaderMap, known: Option<Secret>) -> Answer {
        if !ask.may_write() {
            return plain(StatusCode::FORBIDDEN, "This login may read only.");
        }
        let trusted = self.is_trusted(ask, headers, known);
        match place {
            Place::NewSilence => self.save_silence(ask, None, trusted).await,
            Place::EditSilence(id) => self.save_silence(ask, Some(id), trusted).await,
            Place::ExpireSilence(id) => self.expire(ask, &[&decoded(id)], true, trusted).await,
            Place::ExpireSilences => self.expire(ask, &ask.form.all("id").collect::<Vec<_>>(), false, trusted).await,
            _ => not_allowed(place),
        }
    }

    async fn scene(&self) -> Arc<Scene> {
        self.stage.scene(&self.api).await
    }
}

/// The preview is put into a page whose depth it is told.
fn root_of_editor(parts: &http::request::Parts) -> &'static str {
    let query = Pairs::parse(parts.uri.query().unwrap_or_default().as_bytes());
    if query.text("up") == Some("2") { "../../" } else { "../" }
}

/// A segment of a path.
fn decoded(segment: &str) -> std::borrow::Cow<'_, str> {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy()
}

/// A page that a template writes.
fn page(status: StatusCode, template: &impl Template) -> Answer {
    match template.render() {
        Ok(text) => html_answer(status, text),
        Err(error) => {
            tracing::error!(component = "ui", err = %error, "A page could not be written");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be written.")
        }
    }
}

fn html_answer(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Body::whole(text));
    *answer.status_mut() = status;
    guard(answer.headers_mut());
    answer
}

/// What every page says to the browser.
fn guard(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate")),
    ] {
        headers.insert(name, value);
    }
}

fn plain(status: StatusCode, text: &str) -> Answer {
    let mut answer = Response::new(Body::whole(format!("{text}\n")));
    *answer.status_mut() = status;
    guard(answer.headers_mut());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn asset(text: &'static str, content_type: &'static str) -> Answer {
    let mut answer = Response::new(Body::whole(text));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Pages name the version of the files.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    answer
}

fn not_allowed(place: Place<'_>) -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    let methods = place.methods().iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    if let Ok(value) = HeaderValue::from_str(&methods) {
        answer.headers_mut().insert(header::ALLOW, value);
    }
    answer
}

/// On to another page, by GET.
fn see_other(to: &str) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    guard(answer.headers_mut());
    if let Ok(value) = HeaderValue::from_str(to) {
        answer.headers_mut().insert(header::LOCATION, value);
    }
    answer
}

impl Ui {
    /// The pairs of a posted form.
    async fn read_form<B>(&self, method: &Method, body: B) -> Result<Pairs, Answer>
    where
        B: HttpBody<Data = Bytes>,
    {
        if method != Method::POST {
            return Ok(Pairs::default());
        }
        let refused = || plain(StatusCode::PAYLOAD_TOO_LARGE, "The form could not be read, or is larger than 256 kB.");
        let _place = self.forms.acquire().await;
        let mut body = std::pin::pin!(body);
        let mut bytes = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let Ok(frame) = frame else { return Err(refused()) };
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > FORM_BYTES_MAX {
                return Err(refused());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Pairs::parse(&bytes))
    }
}
