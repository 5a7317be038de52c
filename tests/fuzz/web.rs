//! The web configuration file, read as at a start; no socket is opened.

use std::path::PathBuf;

use carillon::web::{Web, WebError, WebOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    corpus,
    harness::{Case, Target},
    mutate::Words,
    node::runtime,
    rng::Rng,
};

pub struct WebFile {
    runtime: Runtime,
    path: PathBuf,
    _dir: TempDir,
}

const TOKENS: [&str; 30] = [
    ": ",
    "- ",
    "\n",
    "\n  ",
    "&a ",
    "*a",
    "<<: *a",
    "{}",
    "[]",
    "{",
    "[",
    "~",
    "null",
    "true",
    "''",
    "\"\\xff\"",
    "|\n  x\n",
    "!!str ",
    "!!binary ",
    "cert: x",
    "key: y",
    "headers",
    "rate_limit",
    "burst",
    "1s",
    "-1s",
    "TLS10",
    "NoClientCert",
    "VerifyClientCertIfGiven",
    "bob: x",
];

impl Target for WebFile {
    const NAME: &'static str = "web-file";

    fn new() -> Self {
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        WebFile { runtime: runtime(), path: dir.path().join("web.yml"), _dir: dir }
    }

    fn make(rng: &mut Rng) -> Case {
        let words = Words { corpus: corpus!("web.txt"), tokens: &TOKENS };
        let bytes = match rng.below(10) {
            0 => "[".repeat(rng.below(5_000)).into_bytes(),
            1 => format!(
                "a: &a [x]\n{}",
                (0..rng.below(30)).map(|n| format!("b{n}: &a [*a,*a,*a,*a]\n")).collect::<String>()
            )
            .into_bytes(),
            _ => words.mutant(rng, 3),
        };
        Case { kind: "file", bytes }
    }

    fn run(&mut self, case: &Case) -> bool {
        std::fs::write(&self.path, &case.bytes).expect("the temporary directory is writable");
        let options = WebOptions { config_file: Some(self.path.clone()), ..WebOptions::default() };
        match self.runtime.block_on(Web::bind(options)) {
            // Certificates that are named are looked for, and are not there.
            Err(WebError::File(error)) => error.to_string().contains("No such file"),
            Err(WebError::Listen(_)) => true,
            Ok(_) => panic!("it listens nowhere"),
        }
    }
}
