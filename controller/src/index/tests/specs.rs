//! What is used of `BGPConfiguration`s and `BGPAdvertisement`s.

use super::*;

#[test]
fn a_configuration_out_of_range_is_refused() {
    let empty = configuration("default", &json!({}));
    assert_eq!(problems(&empty), []);
    let logged = configuration("default", &json!({ "mrt": { "directory": "/log" } }));
    assert_eq!(problems(&logged), []);
    let other = configuration("other", &json!({}));
    refused(&other, "metadata.name", Reason::NotDefault);
    for (spec, field, reason) in [
        (json!({ "asn": 0 }), "spec.asn", Reason::InvalidAsn),
        (json!({ "asn": 23456 }), "spec.asn", Reason::InvalidAsn),
        (
            json!({ "listenPort": 0 }),
            "spec.listenPort",
            Reason::InvalidValue,
        ),
        (
            json!({ "kernel": { "table": 255 } }),
            "spec.kernel.table",
            Reason::InvalidValue,
        ),
        (
            json!({ "kernel": { "metric": 0 } }),
            "spec.kernel.metric",
            Reason::InvalidValue,
        ),
        (
            json!({ "kernel": { "protocol": 4 } }),
            "spec.kernel.protocol",
            Reason::InvalidValue,
        ),
        (
            json!({ "kernel": { "maxPaths": 0 } }),
            "spec.kernel.maxPaths",
            Reason::InvalidValue,
        ),
        (
            json!({ "mrt": { "directory": "log" } }),
            "spec.mrt.directory",
            Reason::InvalidValue,
        ),
        (
            json!({ "mrt": { "directory": "/log", "rotateSeconds": 0 } }),
            "spec.mrt.rotateSeconds",
            Reason::InvalidValue,
        ),
        (
            json!({ "mrt": { "directory": "/log", "maxFileMegabytes": 0 } }),
            "spec.mrt.maxFileMegabytes",
            Reason::InvalidValue,
        ),
        (
            json!({ "mrt": { "directory": "/log", "keepFiles": 1 } }),
            "spec.mrt.keepFiles",
            Reason::InvalidValue,
        ),
    ] {
        refused(&configuration("default", &spec), field, reason);
    }
}

#[test]
fn an_advertisement_that_means_nothing_is_refused() {
    assert_eq!(problems(&advertisement(&json!({ "podCIDRs": true }))), []);
    for (spec, field, reason) in [
        (json!({}), "spec", Reason::MissingField),
        (
            json!({ "staticPrefixes": ["x"] }),
            "spec.staticPrefixes[0]",
            Reason::InvalidCidr,
        ),
        (
            json!({ "podCIDRs": true, "communities": ["1:65536"] }),
            "spec.communities[0]",
            Reason::InvalidCommunity,
        ),
        (
            json!({ "podCIDRs": true, "largeCommunities": ["1:1"] }),
            "spec.largeCommunities[0]",
            Reason::InvalidCommunity,
        ),
        (
            json!({ "podCIDRs": true, "prepend": 17 }),
            "spec.prepend",
            Reason::InvalidValue,
        ),
    ] {
        refused(&advertisement(&spec), field, reason);
    }
}
