//! Lists of mail addresses as they stand in `to`: composed into a message that is never sent, for its body is a template
//! that fails.

use std::collections::BTreeMap;

use carillon::{
    clock::Clock,
    config::model::{EmailConfig, TlsConfig},
    metrics::{Metrics, MetricsOptions},
    notify::{
        receivers::{BuildContext, email},
        types::Notification,
    },
    random::Random,
    template::Templates,
};
use tokio::runtime::Runtime;

use crate::{
    corpus,
    harness::{Case, Target},
    mutate::Words,
    node::runtime,
    rng::Rng,
    templates,
};

pub struct Addresses {
    runtime: Runtime,
    context: BuildContext,
    notification: Notification,
}

const TOKENS: [&str; 26] = [
    "@",
    "<",
    ">",
    ",",
    ";",
    ":",
    "\"",
    "\\",
    "(",
    ")",
    "[",
    "]",
    "[IPv6:",
    "[127.0.0.1]",
    ".",
    "..",
    " ",
    "\r\n",
    "\n",
    "\t",
    "=?utf-8?q?",
    "?=",
    "é",
    "\u{a0}",
    "a@b",
    "group:",
];

impl Target for Addresses {
    const NAME: &'static str = "mail-addresses";

    fn new() -> Self {
        let clock = Clock::system();
        let metrics = Metrics::new(MetricsOptions::default(), carillon::app::BUILD, &clock);
        let templates = Templates::load(&[]).expect("the shipped templates").into();
        let context = BuildContext::new(templates, "0", clock, Random::seeded(1), &metrics);
        Addresses { runtime: runtime(), context, notification: templates::notification() }
    }

    fn make(rng: &mut Rng) -> Case {
        let words = Words { corpus: corpus!("addresses.txt"), tokens: &TOKENS };
        Case::text(rng.pick(&["to", "from", "header"]), words.mutant_text(rng, 4))
    }

    fn run(&mut self, case: &Case) -> bool {
        let text = case.as_text().into_owned();
        let (to, from, header) = match case.kind {
            "to" => (text, "a@b".to_owned(), String::new()),
            "from" => ("a@b".to_owned(), text, String::new()),
            _ => ("a@b".to_owned(), "a@b".to_owned(), text),
        };
        let config = EmailConfig {
            to,
            from,
            smarthost_host: "127.0.0.1".to_owned(),
            smarthost_port: "1".to_owned(),
            hello: "localhost".to_owned(),
            auth_username: String::new(),
            auth_identity: String::new(),
            auth_password: None,
            auth_secret: None,
            headers: BTreeMap::from([("Subject".to_owned(), header)]),
            html: String::new(),
            text: "{{ template \"that is not there\" . }}".to_owned(),
            require_tls: false,
            force_implicit_tls: None,
            tls: TlsConfig::default(),
            threading: None,
        };
        let notifier = email::build(&config, &self.context).expect("it is built");
        let error = self.runtime.block_on(notifier.notify(&self.notification)).expect_err("its body fails");
        error.message.contains("that is not there")
    }
}
