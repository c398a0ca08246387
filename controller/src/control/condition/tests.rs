use jiff::Timestamp;
use redstart_bgp::types::Prefix;

use super::*;

fn path() -> Path {
    Path {
        from: "tor-a".to_owned(),
        kind: "ebgp".to_owned(),
        best: true,
        multipath: false,
        not_best: None,
        rules: vec![],
        since: Timestamp::UNIX_EPOCH,
        stale: false,
        long_lived_stale: false,
        next_hop: Some([192, 0, 2, 1].into()),
        gateways: vec!["via 192.0.2.1 on eth0".to_owned()],
        through: None,
        unresolved: None,
        origin: "IGP".to_owned(),
        as_path: "65001 65002 {65003 65004}".to_owned(),
        local_pref: Some(100),
        med: None,
        aigp: None,
        otc: None,
        communities: vec!["65000:1".to_owned(), "65000:2".to_owned()],
        extended_communities: vec!["rt:65000:7".to_owned()],
        large_communities: vec!["1:2:3".to_owned()],
        originator_id: None,
        cluster_list: vec![],
        object: None,
    }
}

fn holds(text: &str) -> bool {
    let condition = Condition::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let prefix: Prefix = "10.1.2.0/24".parse().unwrap();
    condition.holds(prefix, &path())
}

#[test]
fn a_condition_asks_about_prefix_path_and_numbers() {
    for (text, expected) in [
        ("true", true),
        ("false", false),
        ("! false", true),
        ("net = 10.1.2.0/24", true),
        ("net != 10.1.2.0/24", false),
        ("net = 10.1.0.0/16", false),
        ("net ~ 10.1.0.0/16", true),
        ("net ~ [10.0.0.0/8]", false),
        ("net ~ [10.0.0.0/8+]", true),
        ("net ~ [10.0.0.0/8{24,24}, 192.0.2.0/24]", true),
        ("net ~ [10.0.0.0/8{8,23}]", false),
        ("net !~ [10.0.0.0/8+]", false),
        ("net.len > 23", true),
        ("net.len > 24", false),
        ("net.len >= 24", true),
        // An AS_SET counts as one.
        ("bgp_path.len = 3", true),
        ("bgp_path.len < 3", false),
        ("bgp_path.first = 65001", true),
        ("bgp_path.last = 65004", false),
        ("bgp_path ~ [= 65001 * =]", true),
        ("bgp_path ~ [= * 65002 * =]", true),
        ("bgp_path ~ [= * 65002 =]", false),
        ("bgp_path ~ [= * 65004 =]", true),
        ("bgp_path ~ [= ? ? ? =]", true),
        ("bgp_path ~ [= ? ? =]", false),
        ("bgp_path !~ [= * 65009 * =]", true),
        ("bgp_local_pref = 100", true),
        ("bgp_local_pref <= 99", false),
        // What a route lacks compares as false, both ways.
        ("bgp_med = 0", false),
        ("bgp_med != 0", false),
        ("defined(bgp_med)", false),
        ("defined(bgp_local_pref)", true),
        ("defined(bgp_community) && defined(bgp_next_hop)", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn a_condition_asks_about_communities_places_and_other_conditions() {
    for (text, expected) in [
        ("bgp_community ~ (65000,1)", true),
        ("(65000,1) ~ bgp_community", true),
        ("bgp_community ~ [(65000,2)]", true),
        ("bgp_community ~ (65000,3)", false),
        ("bgp_community ~ (65000,*)", true),
        ("bgp_community ~ (*,3)", false),
        ("bgp_large_community ~ (1,2,3)", true),
        ("(1,*,*) ~ bgp_large_community", true),
        ("bgp_large_community ~ (1,2)", false),
        ("(rt,65000,7) ~ bgp_ext_community", true),
        ("bgp_next_hop = 192.0.2.1", true),
        ("bgp_next_hop != 192.0.2.1", false),
        ("gw = 192.0.2.1", true),
        ("gw = 192.0.2.11", false),
        ("proto = \"tor-a\"", true),
        ("proto ~ \"tor*\"", true),
        ("proto = 'tor-b'", false),
        ("source = RTS_BGP", true),
        ("source = RTS_STATIC", false),
        ("source = RTS_OSPF", false),
        ("bgp_origin = ORIGIN_IGP", true),
        ("bgp_origin = ORIGIN_EGP", false),
        // && binds stronger than ||.
        ("true || false && false", true),
        ("(true || false) && false", false),
        ("!(net = 10.1.2.0/24)", false),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn errors_name_what_is_wrong() {
    for (text, message) in [
        ("", "unexpected end of the line, expecting a condition"),
        (
            "bgp_med",
            "unexpected end of the line, expecting a comparison",
        ),
        ("bgp_med ~ 1", "unexpected \"~\", expecting a comparison"),
        ("bgp_med = x", "unexpected \"x\", expecting a number"),
        ("nonsense", "unexpected \"nonsense\", expecting a condition"),
        (
            "bgp_path ~ [= 1 x =]",
            "unexpected \"x\", expecting an AS number, * or ?",
        ),
        (
            "net ~ [10.0.0.0/8+",
            "unexpected end of the line, expecting ]",
        ),
        (
            "net = 10.0.0.1",
            "unexpected \"10.0.0.1\", expecting a prefix",
        ),
        (
            "true true",
            "unexpected \"true\", expecting the end of the line",
        ),
        (
            "bgp_community ~ (1)",
            "unexpected end of the line, expecting a community of two or three parts",
        ),
        ("proto = \"tor", "a quote is not closed"),
        ("a ; b", "';' begins nothing here"),
    ] {
        let error = Condition::parse(text).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
    }
    let deep = "(".repeat(100_000);
    assert_eq!(Condition::parse(&deep), Err(ConditionError::Nested));
    assert_eq!(
        Condition::parse(&"!".repeat(100_000)),
        Err(ConditionError::Nested)
    );
}
