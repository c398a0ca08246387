//! Routes that are not ours.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{
    membership::CHANGE_BOUND,
    routes::{expected, wait_all},
};
use crate::lab::{Lab, kernel, objects::node_file, speaker, topology::Family, wait};

/// Somebody else's route to the pod CIDRs of `to` on the node `on`, with our very metric, is there
/// first: it stays as it is, `redc show kernel` says that it is why ours is not there, and ours
/// comes when it goes.
pub fn same_prefix(lab: &Lab, on: &str, to: &str) -> Result<()> {
    let target = lab.topology.node(to).context("no such node")?;
    let router = lab.topology.routers.first().context("no router")?;
    let netns = lab.netns(on);
    let metric = speaker::kernel(lab, on)?.metric;
    lab.objects().delete(&node_file(to))?;
    wait_all(lab, &expected(&lab.topology.without(to)), CHANGE_BOUND)?;
    let mut foreign = Vec::new();
    for family in Family::ALL {
        let (dst, via) = (target.pod_cidrs.of(family), router.rack.of(family));
        let route = format!("{dst} via {via} proto static metric {metric}");
        netns.ip(&[format!("route add {route}")])?;
        foreign.push((family, dst, route, kernel::routes_to(&netns, family, dst)?));
    }
    lab.objects().put_node(target)?;
    for (family, dst, route, before) in foreign {
        wait::until("the CLI explains", Duration::from_secs(10), || {
            explained(lab, on, dst)
        })?;
        let after = kernel::routes_to(&netns, family, dst)?;
        if before != after || after.len() != 1 {
            bail!("the foreign route changed: {before:?} became {after:?}");
        }
        netns.ip(&[format!("route del {route}")])?;
    }
    wait_all(lab, &expected(&lab.topology), Duration::from_secs(10))
        .context("the foreign route is gone")?;
    Ok(())
}

fn explained(lab: &Lab, node: &str, dst: &str) -> Result<()> {
    let view = speaker::kernel(lab, node)?;
    let route = view.routes.iter().find(|route| route.prefix == dst);
    let route = route.with_context(|| format!("show kernel on {node} has no {dst}"))?;
    if route.state.reason.as_deref() != Some("foreign-route") {
        bail!("show kernel says {route:?}");
    }
    let text = speaker::redc(lab, node, &["show", "kernel"])?;
    let line = text
        .lines()
        .find(|line| line.contains(dst))
        .unwrap_or_default();
    if !line.contains("foreign-route") && !text.contains("foreign-route") {
        bail!("the text does not say why {dst} is not installed:\n{text}");
    }
    Ok(())
}
