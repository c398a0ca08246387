//! Policies and safe defaults with a real BIRD behind them: what it announces is taken or refused by
//! rule, what it is told changes while the sessions stay. The numbers are those of the acceptance
//! cases that other projects' tests inspired.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use redstart_controller::control::views;
use redstart_proto_tests::lab::{
    Lab, bird,
    checks::{self, sessions::SessionSnapshot},
    exclusive::TestLab,
    kernel,
    netns::stdout_of,
    objects::peer_manifest,
    speaker::redc,
    topology::{Family, TorKind},
    wait,
};

const PATIENCE: Duration = Duration::from_secs(40);

/// What BIRD announces beside the ext LAN: a prefix that may be taken, and one of each class that may
/// not. Martians it does not announce itself; they are for the tests of the tables.
const WELCOME: &str = "198.51.100.0/24";
const DEFAULT: &str = "0.0.0.0/0";
const POD_RANGE: &str = "10.244.2.128/25";
const SERVICE_RANGE: &str = "10.96.4.0/24";

fn lab() -> TestLab {
    let lab = TestLab::redstart("policy", TorKind::Bird, env!("CARGO_BIN_EXE_lab")).unwrap();
    checks::converged(&lab.lab).unwrap();
    lab
}

/// Has BIRD announce these prefixes as well, and no others.
fn announce(lab: &Lab, prefixes: &[&str]) -> Result<()> {
    let router = &lab.routers()[0];
    let file = router.dir.join("bird.conf");
    let first = router.dir.join("bird.conf.first");
    if !first.exists() {
        fs::copy(&file, &first)?;
    }
    let routes: String = prefixes
        .iter()
        .map(|prefix| format!(" route {prefix} via \"ext0\";"))
        .collect();
    let own = "protocol static own4 { ipv4;";
    let config = fs::read_to_string(&first)?.replacen(own, &format!("{own}{routes}"), 1);
    fs::write(&file, config)?;
    birdc(lab, &["configure"]).map(drop)
}

fn birdc(lab: &Lab, words: &[&str]) -> Result<String> {
    let socket = lab.routers()[0].dir.join("bird.ctl");
    stdout_of(Command::new("birdc").arg("-s").arg(socket).args(words))
}

/// The paths to a prefix that n1 has from BIRD.
fn paths(lab: &Lab, prefix: &str) -> Result<Vec<views::Path>> {
    let answer = redc(lab, "n1", &["-o", "json", "show", "route", prefix])?;
    let routes: Vec<views::Route> = serde_json::from_str(&answer)?;
    let paths = routes.into_iter().flat_map(|route| route.paths);
    Ok(paths.filter(|path| path.from == "tor-v4").collect())
}

/// The one that it must have.
fn path(lab: &Lab, prefix: &str) -> Result<views::Path> {
    let path = paths(lab, prefix)?.into_iter().next();
    path.with_context(|| format!("no path to {prefix}"))
}

fn soon(what: &str, probe: impl FnMut() -> Result<()>) {
    wait::until(what, PATIENCE, probe).unwrap();
}

fn policies(lab: &Lab, import: &str, export: &str) {
    let router = &lab.topology.routers[0];
    let peer = peer_manifest(router, Family::V4, router.asn);
    let policies = format!("  policies:\n    import: [{import}]\n    export: [{export}]\n");
    let objects = lab.objects();
    objects.put("bgppeer-tor-v4", &(peer + &policies)).unwrap();
}

fn policy(lab: &Lab, name: &str, rules: &str) {
    let manifest = format!(
        "apiVersion: redstart.dev/v1alpha1\nkind: BGPPolicy\nmetadata:\n  name: {name}\nspec:\n  rules: [{rules}]\n"
    );
    let objects = lab.objects();
    objects
        .put(&format!("bgppolicy-{name}"), &manifest)
        .unwrap();
}

/// The path is refused for `reason`, and the kernel has no route of ours to the prefix.
fn refused(lab: &Lab, prefix: &str, reason: &str) -> Result<()> {
    let path = path(lab, prefix)?;
    if path.not_best.as_deref() != Some(reason) {
        bail!("{prefix}: {:?}, not {reason}", path.not_best);
    }
    let dst = if prefix == DEFAULT { "default" } else { prefix };
    let routes = kernel::routes_to(&lab.netns("n1"), Family::V4, dst)?;
    if routes.iter().any(|route| route.protocol == "bgp") {
        bail!("{routes:?} in the kernel");
    }
    Ok(())
}

fn taken(lab: &Lab, prefix: &str) -> Result<()> {
    let dst = if prefix == DEFAULT { "default" } else { prefix };
    let routes = kernel::routes_to(&lab.netns("n1"), Family::V4, dst)?;
    if !routes.iter().any(|route| route.protocol == "bgp") {
        bail!("{routes:?} in the kernel");
    }
    Ok(())
}

#[test]
fn acceptance_19_safe_defaults_refuse_each_class_until_a_rule_names_it() {
    let lab = lab();
    let lab = &lab.lab;
    let sessions = SessionSnapshot::take(lab).unwrap();
    let configuration = "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\nspec:\n  timers:\n    connectRetrySeconds: 1\n";
    let ranges = "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata:\n  name: kubernetes\nspec:\n  cidrs: [10.96.0.0/12]\n";
    let objects = lab.objects();
    objects.put("bgpconfiguration", configuration).unwrap();
    objects.put("servicecidr-kubernetes", ranges).unwrap();
    announce(lab, &[WELCOME, DEFAULT, POD_RANGE, SERVICE_RANGE]).unwrap();
    let classes = [
        (DEFAULT, "refused-default-route", "DefaultRoute"),
        (POD_RANGE, "refused-protected-prefix", "ClusterRanges"),
        (SERVICE_RANGE, "refused-protected-prefix", "ClusterRanges"),
    ];
    soon("what is safe is taken", || taken(lab, WELCOME));
    for (prefix, reason, _) in classes {
        soon(reason, || refused(lab, prefix, reason));
    }
    let filtered = redc(lab, "n1", &["show", "route", "filtered"]).unwrap();
    assert!(!filtered.contains(WELCOME), "{filtered}");
    for (_, reason, _) in classes {
        assert!(filtered.contains(reason), "{filtered}");
    }
    // To accept everything is not to ask for what is not safe.
    policy(lab, "in", "{ action: Accept }");
    policies(lab, "in", "");
    soon("the rule is asked", || {
        match path(lab, WELCOME)?.rules.as_slice() {
            [rule] if rule == "in rule 1" => Ok(()),
            rules => bail!("{rules:?}"),
        }
    });
    for (prefix, reason, _) in classes {
        refused(lab, prefix, reason).unwrap();
    }
    let all = "{ action: Accept, overrides: [DefaultRoute, ClusterRanges] }";
    policy(lab, "in", all);
    for (prefix, ..) in classes {
        soon("it was asked for", || taken(lab, prefix));
    }
    sessions.unchanged(lab).unwrap();
}

#[test]
fn acceptance_6_18_25_policies_change_both_ways_under_running_sessions() {
    let lab = lab();
    let lab = &lab.lab;
    let sessions = SessionSnapshot::take(lab).unwrap();
    announce(lab, &[WELCOME]).unwrap();
    soon("taken", || taken(lab, WELCOME));

    let import = |number: u32| format!("{{ set: {{ localPref: {number} }}, action: Next }}");
    let export = |low: u32| {
        format!(
            "{{ set: {{ communities: {{ add: ['64512:{low}', '64512:1:{low}'] }}, prepend: 2, med: {low} }}, action: Next }}"
        )
    };
    policy(lab, "in", &import(150));
    policy(lab, "out", &export(7));
    policies(lab, "in", "out");
    let told = |low: u32| {
        soon("BIRD is told", || {
            let text = birdc(lab, &["show", "route", "all", "10.244.1.0/24"])?;
            let dressed = [
                format!("(64512,{low})"),
                format!("(64512, 1, {low})"),
                format!("BGP.med: {low}"),
                "BGP.as_path: 64512 64512 64512".to_owned(),
            ];
            match dressed.iter().find(|line| !text.contains(*line)) {
                None => Ok(()),
                Some(missing) => bail!("{missing} is not in {text}"),
            }
        });
    };
    let preferred = |number: u32| {
        soon("preferred", || match path(lab, WELCOME)?.local_pref {
            Some(found) if found == number => Ok(()),
            found => bail!("{found:?}"),
        });
    };
    told(7);
    preferred(150);
    policy(lab, "in", &import(250));
    policy(lab, "out", &export(8));
    told(8);
    preferred(250);
    what_is_blocked_stays_blocked(lab);
    sessions.unchanged(lab).unwrap();
}

/// The second half: rules for all, a route that is not exported, and a policy that is not there.
fn what_is_blocked_stays_blocked(lab: &Lab) {
    // What is blocked for all comes first, whatever the neighbour's own policies say.
    policy(
        lab,
        "block",
        &format!(
            "{{ name: never, match: {{ prefixes: [{{ cidr: {WELCOME}, le: 32 }}] }}, action: Reject }}"
        ),
    );
    let configuration = "apiVersion: redstart.dev/v1alpha1\nkind: BGPConfiguration\nmetadata:\n  name: default\nspec:\n  timers:\n    connectRetrySeconds: 1\n  policies:\n    import: [block]\n";
    lab.objects()
        .put("bgpconfiguration", configuration)
        .unwrap();
    soon("blocked", || refused(lab, WELCOME, "refused-policy"));
    let filtered = redc(lab, "n1", &["show", "route", "filtered"]).unwrap();
    let line = "refused-policy: rejected by policy block rule 1 (never)";
    assert!(filtered.contains(line), "{filtered}");

    // Export is stopped, and says so.
    policy(
        lab,
        "out",
        "{ match: { prefixes: [{ cidr: 10.244.0.0/16, le: 32 }] }, action: Reject }",
    );
    soon("withdrawn", || {
        let text = bird::routes(&lab.routers()[0].dir, &["10.244.1.0/24"])?;
        if text.contains("10.244.1.0/24") {
            bail!("{text}");
        }
        Ok(())
    });
    let all = redc(lab, "n1", &["show", "route", "all", "10.244.1.0/24"]).unwrap();
    let line = "not exported to tor-v4: rejected by policy out rule 1";
    assert!(all.contains(line), "{all}");

    // A policy that is not there changes nothing, and is named.
    policies(lab, "in", "typo");
    soon("named", || {
        let status = redc(lab, "n1", &["show", "status"])?;
        if !status.contains("unknown-policy") {
            bail!("{status}");
        }
        Ok(())
    });
    let all = redc(lab, "n1", &["show", "route", "all", "10.244.1.0/24"]).unwrap();
    assert!(all.contains(line), "{all}");
}

#[test]
fn case_d_the_hosts_default_route_survives_a_router_that_takes_its_own_back() {
    let lab = lab();
    let lab = &lab.lab;
    let n1 = lab.netns("n1");
    n1.ip(&["route add default via 10.10.0.254 proto static".to_owned()])
        .unwrap();
    let hosts = || {
        let routes = kernel::routes_to(&n1, Family::V4, "default")?;
        match routes.as_slice() {
            [only] if only.protocol == "static" => Ok(()),
            routes => bail!("{routes:?}"),
        }
    };
    hosts().unwrap();
    let connected = kernel::routes_to(&n1, Family::V4, "10.10.0.0/24").unwrap();
    policy(lab, "in", "{ action: Accept, overrides: [DefaultRoute] }");
    policies(lab, "in", "");
    announce(lab, &[DEFAULT, "10.10.0.0/24"]).unwrap();
    soon("best, though not in the kernel", || {
        let path = path(lab, DEFAULT)?;
        if !path.best {
            bail!("{:?}", path.not_best);
        }
        Ok(())
    });
    hosts().unwrap();
    announce(lab, &[]).unwrap();
    soon("taken back", || match &paths(lab, DEFAULT)?[..] {
        [] => Ok(()),
        paths => bail!("{paths:?}"),
    });
    hosts().unwrap();
    let now = kernel::routes_to(&n1, Family::V4, "10.10.0.0/24").unwrap();
    assert_eq!(now, connected);
}
