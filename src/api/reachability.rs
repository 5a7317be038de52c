//! `GET /carillon/reachability`: who reaches whom, each node's own word.

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use http::StatusCode;

use super::{
    Api,
    answer::{Answer, Body, json_body},
    json::{push_array, push_string},
};

/// What one node says of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    pub node: String,
    /// Itself left out. `None`: it did not answer.
    pub sees: Option<Vec<Sight>>,
}

/// How a node is seen by another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    pub name: String,
    /// As in [`super::MemberStatus`], like the others.
    pub state: &'static str,
    pub udp: Option<bool>,
    pub tcp: Option<bool>,
}

/// Asks all nodes that are known; this one is among the answers.
pub type AskOutlooks = Arc<dyn Fn() -> BoxFuture<'static, Vec<Outlook>> + Send + Sync>;

/// The way to the other nodes; empty without a cluster.
#[derive(Default)]
pub(super) struct Outlooks(OnceLock<AskOutlooks>);

impl Outlook {
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"name\":");
        push_string(out, &self.node);
        out.extend_from_slice(b",\"state\":");
        push_string(out, if self.sees.is_some() { "answered" } else { "no answer" });
        if let Some(sees) = &self.sees {
            out.extend_from_slice(b",\"sees\":");
            push_array(out, sees, |out, sight| sight.push(out));
        }
        out.push(b'}');
    }
}

impl Sight {
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"name\":");
        push_string(out, &self.name);
        out.extend_from_slice(b",\"state\":");
        push_string(out, self.state);
        for (key, works) in [("udp", self.udp), ("tcp", self.tcp)] {
            if let Some(works) = works {
                out.extend_from_slice(format!(",\"{key}\":{works}").as_bytes());
            }
        }
        out.push(b'}');
    }
}

impl Api {
    /// From now on the other nodes are asked this way.
    pub fn offer_outlooks(&self, ask: AskOutlooks) {
        // It is offered once.
        let _ = self.outlooks.0.set(ask);
    }

    /// Every node's view of the others, as far as they answer within a second; nothing without a cluster.
    pub async fn outlooks(&self) -> Vec<Outlook> {
        match self.outlooks.0.get() {
            Some(ask) => ask().await,
            None => Vec::new(),
        }
    }

    pub(super) async fn reachability(&self) -> Answer {
        let nodes = self.outlooks().await;
        let mut out = b"{\"nodes\":".to_vec();
        push_array(&mut out, &nodes, |out, outlook| outlook.push(out));
        out.extend_from_slice(b"}\n");
        json_body(StatusCode::OK, Body::whole(out))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{api, request, text},
        *,
    };

    const CONFIG: &str = "{route: {receiver: x}, receivers: [{name: x}]}";

    #[tokio::test]
    async fn who_reaches_whom_is_each_nodes_own_word() {
        let api = api(CONFIG);
        let path = "/carillon/reachability";
        let get = || async { text(api.handle(path, path, request("GET", path, "")).await).await };
        assert_eq!(get().await, (200, "{\"nodes\":[]}\n".to_owned()), "without a cluster");
        let sight = |name: &str, state, udp, tcp| Sight { name: name.to_owned(), state, udp, tcp };
        api.offer_outlooks(Arc::new(move || {
            let sees = vec![sight("b\"", "alive", Some(true), None), sight("c", "down", Some(false), Some(false))];
            let all = [("a", Some(sees)), ("b\"", None)];
            let all = all.map(|(node, sees)| Outlook { node: node.to_owned(), sees });
            Box::pin(async move { all.to_vec() })
        }));
        let expected = concat!(
            r#"{"nodes":[{"name":"a","state":"answered","sees":[{"name":"b\"","state":"alive","udp":true},"#,
            r#"{"name":"c","state":"down","udp":false,"tcp":false}]},{"name":"b\"","state":"no answer"}]}"#,
            "\n"
        );
        assert_eq!(get().await, (200, expected.to_owned()));
    }
}
