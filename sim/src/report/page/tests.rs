//! The contents that every page has to have.

use std::collections::BTreeMap;

use synrepl_core::Timestamp;

use super::*;
use crate::{
    oracle::Promise,
    report::sample::trace,
    trace::{Moment, Trace},
};

/// Returns the data of a page, as the script reads it.
fn data(page: &str) -> serde_json::Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_page_has_every_moment_and_points_at_the_violation() {
    let trace = trace();
    let data = data(&Page::new(&trace).to_string());
    let moments = data["moments"].as_array().unwrap();
    assert_eq!(moments.len(), trace.moments.len());
    let focus = usize::try_from(data["focus"].as_u64().unwrap()).unwrap();
    assert_eq!(moments[focus]["k"], "violation");
    assert_eq!(data["lanes"].as_array().unwrap().len(), trace.lanes.len());
}

#[test]
fn a_message_that_arrives_has_the_source_of_the_one_that_was_sent() {
    let trace = trace();
    let data = data(&Page::new(&trace).to_string());
    let mut sent = BTreeMap::new();
    let mut arrived = 0;
    for moment in data["moments"].as_array().unwrap() {
        match moment["k"].as_str().unwrap() {
            "sent" => drop(sent.insert(moment["m"].as_u64(), moment["s"].clone())),
            "received" | "lost" => {
                arrived += 1;
                assert_eq!(sent[&moment["m"].as_u64()], moment["s"]);
            }
            _ => {}
        }
    }
    assert!(arrived > 5, "{arrived}");
}

#[test]
fn no_text_of_a_trace_becomes_markup() {
    let mut trace = trace();
    let evil = "</script><script>alert(1)</script><img src=x onerror='a' title=\"b\">&amp;";
    trace.moments.push(Moment {
        at: Timestamp::from_micros(9_000_000),
        lane: 0,
        source: Some(Source::new(evil, evil)),
        what: What::Event { text: evil.to_owned() },
    });
    trace.violations[0].what = evil.to_owned();
    trace.lanes[0].name = evil.to_owned();
    let rows = vec![vec![evil.to_owned()], vec![evil.to_owned(), evil.to_owned()]];
    let page = Page::new(&trace).fact(evil, evil).comparison(rows).to_string();
    assert!(!page.contains("<img") && !page.contains("<script>alert"), "{page}");
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script>").count(), 2);
    let data = data(&page);
    let last = data["moments"].as_array().unwrap().last().unwrap();
    assert_eq!(last["x"], evil, "the script gets the text as it was");
}

#[test]
fn a_page_asks_the_network_for_nothing() {
    let page = Page::new(&trace()).to_string();
    assert!(page.contains("default-src 'none'"));
    for outside in ["src=", "<link", "@import", "url(", "fetch(\"", "XMLHttp", "https://"] {
        assert!(!page.contains(outside), "{outside}");
    }
    // The one address is a namespace, which no browser requests.
    assert_eq!(page.matches("http://").count(), page.matches("http://www.w3.org/2000/svg").count());
}

#[test]
fn every_place_of_the_template_is_filled() {
    let page = Page::new(&trace()).to_string();
    assert!(!page.contains("{{") || page.matches("{{").count() == SCRIPT.matches("{{").count());
    assert!(page.contains("<h1 class=\"broken\">F2 Complete broken</h1>"));
}

#[test]
fn a_run_that_kept_its_promises_has_a_page_too() {
    let mut trace = trace();
    trace.violations.clear();
    trace.moments.retain(|moment| !matches!(moment.what, What::Violation { .. }));
    let page = Page::new(&trace).to_string();
    assert!(page.contains("Every promise kept"));
    assert!(data(&page)["focus"].is_null());
    let empty = Trace { moments: Vec::new(), ..trace };
    assert!(data(&Page::new(&empty).to_string())["moments"].as_array().unwrap().is_empty());
}

#[test]
fn the_title_of_a_promise_without_an_id_is_its_name() {
    let mut trace = trace();
    trace.violations[0] = Violation { promise: Promise::Waits, ..trace.violations[0].clone() };
    assert!(Page::new(&trace).to_string().contains("<title>Waits broken</title>"));
}
