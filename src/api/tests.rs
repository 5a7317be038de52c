//! The handlers, asked as a client would, without sockets.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{
    Answer, Api, BODY_BYTES_MAX,
    testing::{api, request, text},
};

const CONFIG: &str = "
route:
  receiver: default
  group_by: [alertname]
  routes:
  - {receiver: team-x, matchers: ['team=\"x\"'], continue: true}
  - {receiver: team-y, matchers: ['team=~\"x|y\"']}
inhibit_rules:
- {source_matchers: ['sev=\"crit\"'], target_matchers: ['sev=\"warn\"'], equal: [host]}
receivers:
- name: default
- name: team-x
  labels: {owner: xavier}
- name: team-y
";

async fn ask(api: &Arc<Api>, method: &str, path: &str, body: &str) -> (u16, String) {
    text(answer(api, request(method, path, body)).await).await
}

async fn answer(api: &Arc<Api>, request: Request<Full<Bytes>>) -> Answer {
    let full_path = request.uri().path().to_owned();
    let path = full_path.strip_prefix("/api/v2").unwrap_or(&full_path).to_owned();
    api.handle(&path, &full_path, request).await
}

async fn get(api: &Arc<Api>, path: &str) -> Value {
    let (status, body) = ask(api, "GET", &format!("/api/v2/{path}"), "").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

async fn post(api: &Arc<Api>, alerts: Value) {
    assert_eq!(ask(api, "POST", "/api/v2/alerts", &alerts.to_string()).await, (200, String::new()));
}

fn names(alerts: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        alerts.as_array().unwrap().iter().map(|a| a["labels"]["alertname"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_posted_alert_is_listed_byte_for_byte_as_the_reference_lists_it() {
    let api = api(CONFIG);
    let alert = json!({"labels": {"team": "x", "alertname": "a<&>"}, "annotations": {"s": "é\u{2028}"}, "generatorURL": "http://x/?a&b",
        "startsAt": "2026-01-01T02:00:00.1239+02:00", "endsAt": "2999-01-01T00:00:00Z"});
    post(&api, json!([alert])).await;
    let (status, body) = ask(&api, "GET", "/api/v2/alerts", "").await;
    let updated = serde_json::from_str::<Value>(&body).unwrap()[0]["updatedAt"].as_str().unwrap().to_owned();
    assert_eq!(status, 200);
    assert_eq!(
        body,
        format!(
            concat!(
                r#"[{{"annotations":{{"s":"é\u2028"}},"endsAt":"2999-01-01T00:00:00.000Z","fingerprint":"{}","#,
                r#""receivers":[{{"name":"team-x"}},{{"name":"team-y"}}],"startsAt":"2026-01-01T00:00:00.123Z","#,
                r#""status":{{"inhibitedBy":[],"mutedBy":[],"silencedBy":[],"state":"active"}},"updatedAt":"{}","#,
                r#""generatorURL":"http://x/?a\u0026b","labels":{{"alertname":"a\u003c\u0026\u003e","team":"x"}}}}]"#,
                "\n"
            ),
            crate::alert::Labels::from_pairs([("team", "x"), ("alertname", "a<&>")]).fingerprint(),
            updated
        )
    );
}

#[tokio::test]
async fn of_a_mixed_batch_the_good_alerts_are_taken_and_all_complaints_told() {
    let api = api(CONFIG);
    let body = r#"[{"labels":{"alertname":"good"}},{"labels":{"alertname":""}},{"labels":{"":"x"}}]"#;
    let complaint = "\"at least one label pair required\\ninvalid label set: invalid name \\\"\\\"\"\n";
    assert_eq!(ask(&api, "POST", "/api/v2/alerts", body).await, (400, complaint.into()));
    assert_eq!(names(&get(&api, "alerts").await), ["good"]);
    assert_eq!(api.metrics.alerts_received_total.with_label_values(&["firing", "v2"]).get(), 3);
    assert_eq!(api.metrics.alerts_invalid_total.with_label_values(&["v2"]).get(), 2);
}

#[tokio::test]
async fn alerts_are_selected_by_labels_receivers_and_state() {
    let api = api(CONFIG);
    post(
        &api,
        json!([
            {"labels": {"alertname": "both", "team": "x"}},
            {"labels": {"alertname": "y", "team": "y"}},
            {"labels": {"alertname": "src", "sev": "crit", "host": "h"}},
            {"labels": {"alertname": "tgt", "sev": "warn", "host": "h"}},
            {"labels": {"alertname": "over"}, "endsAt": "2020-01-01T00:00:00Z"},
        ]),
    )
    .await;
    for (query, want) in [
        ("", vec!["both", "src", "tgt", "y"]),
        ("?filter=team%3D%22x%22", vec!["both"]),
        ("?filter=team%21%3D%22%22&filter=alertname%3Dy", vec!["y"]),
        ("?receiver=team-.*", vec!["both", "y"]),
        ("?receiver=team", vec![]),
        ("?receiver_matchers=owner%3Dxavier", vec!["both"]),
        ("?inhibited=false", vec!["both", "src", "y"]),
        ("?active=no", vec!["tgt"]),
        ("?active=no&inhibited=0", vec![]),
        ("?nosuch=1&unprocessed=false", vec!["both", "src", "tgt", "y"]),
    ] {
        assert_eq!(names(&get(&api, &format!("alerts{query}")).await), want, "{query}");
    }
    let target = &get(&api, "alerts?active=false").await[0];
    assert_eq!(target["status"]["inhibitedBy"][0], get(&api, "alerts?filter=alertname%3Dsrc").await[0]["fingerprint"]);
    assert_eq!(target["status"]["state"], "suppressed");
}

#[tokio::test]
async fn bad_parameters_are_refused_in_order() {
    let api = api(CONFIG);
    for (query, text) in [
        ("filter=foo&receiver=%5B", "\"bad matcher format: foo\"\n"),
        (
            "receiver=%28a&receiver_matchers=bad",
            "\"failed to parse receiver param: error parsing regexp: missing closing ): `^(?:(a)$`\"\n",
        ),
        ("receiver_matchers=bad", "\"failed to parse receiver_matchers param: bad matcher format: bad\"\n"),
    ] {
        for path in ["alerts", "alerts/groups"] {
            assert_eq!(
                ask(&api, "GET", &format!("/api/v2/{path}?{query}"), "").await,
                (400, text.to_owned()),
                "{path} {query}"
            );
        }
    }
}

#[tokio::test]
async fn groups_hold_their_alerts_and_name_all_receivers_of_each() {
    let api = api(CONFIG);
    post(
        &api,
        json!([
            {"labels": {"alertname": "b", "team": "x"}},
            {"labels": {"alertname": "a", "n": "2"}},
            {"labels": {"alertname": "a", "n": "1"}},
        ]),
    )
    .await;
    let groups = get(&api, "alerts/groups").await;
    let shape: Vec<_> = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|g| {
            (
                g["labels"]["alertname"].as_str().unwrap(),
                g["receiver"]["name"].as_str().unwrap(),
                g["alerts"].as_array().unwrap().len(),
            )
        })
        .collect();
    assert_eq!(shape, [("a", "default", 2), ("b", "team-x", 1), ("b", "team-y", 1)]);
    assert_eq!(groups[1]["alerts"][0]["receivers"], json!([{"name": "team-x"}, {"name": "team-y"}]));
    assert_eq!(groups[0]["routeLabels"], json!({}));
    let of_y = get(&api, "alerts/groups?receiver=team-y").await;
    assert_eq!(of_y[0]["alerts"][0]["receivers"], json!([{"name": "team-y"}]));
    assert_eq!(get(&api, "alerts/groups?filter=n%3D9").await, json!([]));
    assert_eq!(get(&api, "alerts/groups?active=false").await, json!([]));
}

#[tokio::test]
async fn a_silence_lives_from_post_to_delete() {
    let api = api(CONFIG);
    post(&api, json!([{"labels": {"alertname": "a"}}])).await;
    let silence = json!({"matchers": [{"name": "alertname", "value": "a", "isRegex": false}], "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2999-01-01T00:00:00Z", "createdBy": "m<e", "comment": "c"});
    let (status, body) = ask(&api, "POST", "/api/v2/silences", &silence.to_string()).await;
    let id = serde_json::from_str::<Value>(&body).unwrap()["silenceID"].as_str().unwrap().to_owned();
    assert_eq!(status, 200);
    let (_, one) = ask(&api, "GET", &format!("/api/v2/silence/{}", id.to_uppercase()), "").await;
    assert!(
        one.starts_with(&format!("{{\"id\":\"{id}\",\"status\":{{\"state\":\"active\"}},\"updatedAt\":\"")),
        "{one}"
    );
    assert!(one.contains(r#""comment":"c","createdBy":"m\u003ce","endsAt":"2999-01-01T00:00:00.000Z","matchers":[{"isEqual":true,"isRegex":false,"name":"alertname","value":"a"}],"startsAt":""#), "{one}");
    assert_eq!(get(&api, "alerts").await[0]["status"]["silencedBy"], json!([id]));
    assert_eq!(get(&api, "alerts?silenced=false").await, json!([]));
    assert_eq!(get(&api, "silences?filter=alertname%3Da").await.as_array().unwrap().len(), 1);
    assert_eq!(ask(&api, "DELETE", &format!("/api/v2/silence/{id}"), "").await, (200, String::new()));
    assert_eq!(get(&api, "silences").await[0]["status"]["state"], "expired");
    assert_eq!(get(&api, "silences?expired=false").await, json!([]));
}

#[tokio::test]
async fn silences_that_are_not_there_or_not_right_are_refused() {
    let api = api(CONFIG);
    let id = "5e2a2b5e-1e5f-4b7c-8e1a-111111111111";
    for method in ["GET", "DELETE"] {
        assert_eq!(ask(&api, method, &format!("/api/v2/silence/{id}"), "").await, (404, String::new()));
        let (status, body) = ask(&api, method, "/api/v2/silence/abc", "").await;
        assert_eq!(
            (status, body.as_str()),
            (422, r#"{"code":601,"message":"silenceID in path must be of type uuid: \"abc\""}"#)
        );
    }
    let silence = |id: &str, value: &str, end: &str| {
        json!({"id": id, "matchers": [{"name": "a", "value": value, "isRegex": true}], "startsAt": "2020-01-01T00:00:00Z",
            "endsAt": end, "createdBy": "", "comment": ""}).to_string()
    };
    for (body, status, text) in [
        (silence("", "b", "2019-01-01"), 400, "\"Failed to create silence: start time must be before end time\"\n"),
        (silence("", "b", "2021-01-01"), 400, "\"Failed to create silence: end time can't be in the past\"\n"),
        (silence("x", "b", "2999-01-01"), 404, "\"silence not found\"\n"),
        (
            silence("", ".*", "2999-01-01"),
            400,
            "\"invalid silence: matcher set 0: at least one matcher must not match the empty string\"\n",
        ),
    ] {
        assert_eq!(ask(&api, "POST", "/api/v2/silences", &body).await, (status, text.to_owned()), "{body}");
    }
}

#[tokio::test]
async fn paths_methods_and_media_types_are_checked_in_that_order() {
    let api = api(CONFIG);
    let not_found = r#"{"code":404,"message":"path /api/v2/a\u0026b was not found"}"#;
    assert_eq!(ask(&api, "PUT", "/api/v2/a&b", "").await, (404, not_found.into()));
    let put = answer(&api, request("PUT", "/api/v2/alerts", "")).await;
    assert_eq!(
        (put.status().as_u16(), &put.headers()[header::ALLOW]),
        (405, &header::HeaderValue::from_static("GET,POST"))
    );
    assert_eq!(text(put).await.1, r#"{"code":405,"message":"method PUT is not allowed, but [GET,POST] are"}"#);
    let with = |name: &str, value: &str, body: &str| {
        Request::post("/api/v2/alerts").header(name, value).body(Full::from(body.to_owned())).unwrap()
    };
    assert_eq!(answer(&api, with("content-type", "text/plain", "[]")).await.status(), 415);
    assert_eq!(answer(&api, with("accept", "text/html", "")).await.status(), 406);
    assert_eq!(answer(&api, with("content-type", "text/plain", "")).await.status(), 422);
}

#[tokio::test]
async fn every_answer_forbids_caching_and_any_origin_may_read() {
    let api = api(CONFIG);
    for path in ["alerts", "nosuch", "status"] {
        let mut asked = request("GET", &format!("/api/v2/{path}"), "");
        asked.headers_mut().insert(header::ORIGIN, header::HeaderValue::from_static("http://ui.example"));
        let answered = answer(&api, asked).await;
        let header = |name| answered.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!((header(header::CACHE_CONTROL), header(header::VARY)), (Some("no-store"), Some("Origin")));
        assert_eq!(header(header::ACCESS_CONTROL_ALLOW_ORIGIN), Some("*"));
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let api = api(CONFIG);
    let (status, _) = ask(&api, "POST", "/api/v2/alerts", &" ".repeat(BODY_BYTES_MAX + 1)).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn alerts_are_taken_without_a_disk_and_the_answer_says_so() {
    let api = api(CONFIG);
    api.metrics.store_degraded.set(1);
    let body = r#"[{"labels":{"alertname":"a"}}]"#;
    let taken = answer(&api, request("POST", "/api/v2/alerts", body)).await;
    let warning = taken.headers()[header::WARNING].to_str().unwrap();
    assert_eq!((taken.status().as_u16(), warning.contains("held in memory only")), (200, true));
    assert_eq!(names(&get(&api, "alerts").await), ["a"]);
}

#[tokio::test]
async fn status_and_receivers_show_the_configuration() {
    let api = api(CONFIG);
    let status = get(&api, "status").await;
    assert_eq!(status["cluster"], json!({"peers": [], "status": "disabled"}));
    assert_eq!(status["versionInfo"]["version"], "0.34.0");
    assert_eq!(status["config"]["original"], *api.config.load().original);
    assert_eq!(
        get(&api, "receivers?receiver_matchers=owner%3Dxavier").await,
        json!([{"labels": {"name": "team-x", "owner": "xavier"}, "name": "team-x"}])
    );
    assert_eq!(get(&api, "receivers").await.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_long_list_is_streamed_whole() {
    let api = api(CONFIG);
    let alerts: Vec<_> = (0..500)
        .map(|n| json!({"labels": {"alertname": "a", "n": n.to_string()}, "annotations": {"x": "y".repeat(300)}}))
        .collect();
    post(&api, json!(alerts)).await;
    let long = answer(&api, request("GET", "/api/v2/alerts", "")).await;
    assert_eq!(long.body().known_len(), None);
    assert_eq!(serde_json::from_str::<Value>(&text(long).await.1).unwrap().as_array().unwrap().len(), 500);
    assert_eq!(get(&api, "alerts/groups").await[0]["alerts"].as_array().unwrap().len(), 500);
}
