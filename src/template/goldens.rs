//! The recorded behaviour of the reference, where the shared folder is at hand.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value as Json;

use super::{Data, Templates};

/// What the reference of 0.33.1 refused and 0.34 renders.
const NEWER: [&str; 1] = ["methods#strings-join"];

#[derive(Deserialize)]
struct Cases {
    defaults: BTreeMap<String, Json>,
    cases: BTreeMap<String, Json>,
}

#[derive(Deserialize)]
struct Golden {
    output: Option<String>,
    #[serde(default)]
    mentions: Vec<Json>,
    peer_says: Option<String>,
}

fn golden_folder() -> Option<PathBuf> {
    let shared = std::env::var_os("CARILLON_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    Some(shared.join("golden")).filter(|folder| folder.join("templates").is_dir())
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn render(case: &BTreeMap<String, Json>, sets: &BTreeMap<String, Json>) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in case.get("files").and_then(Json::as_object).into_iter().flatten() {
        std::fs::write(folder.path().join(name), text.as_str().unwrap()).unwrap();
    }
    let pattern = case.get("glob").and_then(Json::as_str).unwrap_or("*.tmpl");
    let templates = Templates::load_without_shipped(&[folder.path().join(pattern)]).map_err(|e| e.to_string())?;
    let data = match &case["data"] {
        Json::String(name) => sets[name].clone(),
        inline => inline.clone(),
    };
    let data = Data::from_json(&data.to_string()).map_err(|e| e.to_string())?;
    let text = case["text"].as_str().unwrap();
    let html = case.get("type").and_then(Json::as_str) == Some("html");
    if html { templates.html(text, &data) } else { templates.text(text, &data) }.map_err(|e| e.to_string())
}

/// What differs from the golden, if anything.
fn check(golden: &Golden, result: &Result<String, String>) -> Option<String> {
    match (&golden.output, result) {
        // YAML readers disagree on how U+2028 folds.
        (Some(wanted), Ok(output)) => (wanted.replace("\u{2028}    ", "\u{2028}") != *output)
            .then(|| format!("wanted {wanted:?}\n   got    {output:?}")),
        (Some(_), Err(error)) => Some(format!("fails: {error}")),
        (None, Ok(output)) => Some(format!("wanted an error, got {output:?}")),
        (None, Err(error)) => {
            let lower = error.to_lowercase();
            let said = |word: &Json| word.as_str().is_some_and(|word| lower.contains(&word.to_lowercase()));
            let missing = golden.mentions.iter().find(|words| match words {
                Json::Array(any) => !any.iter().any(said),
                word => !said(word),
            });
            let peer = golden.peer_says.as_deref().unwrap_or("").trim_start_matches("amtool: error: ");
            if missing.is_none() && peer != error && !peer.is_empty() {
                println!("differs from the peer's words:\n  peer {peer}\n  ours {error}");
            }
            missing.map(|words| format!("the error does not mention {words}: {error}"))
        }
    }
}

#[test]
fn every_template_golden_is_met() {
    let Some(folder) = golden_folder() else {
        println!("skipped: no golden folder (CARILLON_SHARED)");
        return;
    };
    let sets: BTreeMap<String, Json> = read(&folder.join("lib/data.yml"));
    let (mut passed, mut failed) = (0, Vec::new());
    for entry in std::fs::read_dir(folder.join("templates")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(topic) = name.strip_suffix(".yml").filter(|topic| !topic.ends_with(".golden")) else {
            continue;
        };
        let cases: Cases = read(&path);
        let goldens: BTreeMap<String, Golden> = read(&path.with_file_name(format!("{topic}.golden.yml")));
        for (name, case) in cases.cases {
            let mut whole = cases.defaults.clone();
            match case {
                Json::Object(fields) => whole.extend(fields),
                text => drop(whole.insert("text".to_owned(), text)),
            }
            let name = format!("{topic}#{name}");
            let golden = &goldens[name.split_once('#').unwrap().1];
            match check(golden, &render(&whole, &sets)) {
                Some(problem) if !NEWER.contains(&name.as_str()) => failed.push(format!("{name}: {problem}")),
                _ => passed += 1,
            }
        }
    }
    println!("{passed} passed, {} failed", failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
