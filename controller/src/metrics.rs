//! Prometheus metrics.
//!
//! The core counts in plain integers and knows no metrics library. A scrape asks it for a
//! [`Snapshot`] and writes that down; between scrapes nothing is computed. Cardinality is bounded:
//! routers are named one by one, the nodes of the mesh are only counted, so a cluster of N nodes
//! never makes N x N series.

mod histogram;
mod process;

use std::collections::BTreeMap;

use prometheus::{
    Counter, Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    core::Collector,
};
use redstart_rib::histogram::Histogram;

use self::histogram::Histograms;
pub use self::process::Process;

/// Everything that is counted, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Sessions by (role, state).
    pub sessions: BTreeMap<(String, String), u64>,
    /// The routers, one by one.
    pub routers: Vec<Router>,
    /// UPDATE and other messages by (role, direction, type).
    pub messages: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    /// Prefixes in the table by family.
    pub prefixes: BTreeMap<String, u64>,
    /// Routes of our own.
    pub originated: u64,
    /// Routes refused on import, by (role, reason).
    pub refused: BTreeMap<(String, String), u64>,
    /// Kernel routes by state.
    pub kernel_routes: BTreeMap<&'static str, u64>,
    /// Those that are parked, by reason.
    pub kernel_parked: BTreeMap<&'static str, u64>,
    /// Kernel operations by outcome: `add`, `replace`, `delete`, or how they failed.
    pub kernel_operations: BTreeMap<&'static str, u64>,
    /// Kernel routes found to differ from what was believed, and repaired.
    pub kernel_drift: u64,
    /// Connections refused at the listener, by reason.
    pub connections_refused: BTreeMap<String, u64>,
    /// Objects known, by kind.
    pub objects: BTreeMap<String, u64>,
    /// Whether the source of a kind is in order.
    pub source_healthy: BTreeMap<String, bool>,
    /// The watches of the Kubernetes API.
    pub watches: Vec<Watch>,
    /// The copy of the objects on disk, where there is one.
    pub cache: Option<Cache>,
    /// Problems of objects by (kind, reason).
    pub problems: BTreeMap<(String, String), u64>,
    /// Sessions of BFD by state.
    pub bfd_sessions: BTreeMap<String, u64>,
    /// Packets that came to the ports of BFD and were of no use, by reason.
    pub bfd_discarded: BTreeMap<String, u64>,
    /// The monitoring stations.
    pub stations: Vec<Station>,
    /// The update log, where there is one.
    pub update_log: Option<UpdateLog>,
    /// Whether the speaker is ready.
    pub ready: bool,
    /// From a change of objects to the neighbours' sessions, by role.
    pub event_to_wire: BTreeMap<&'static str, Histogram>,
    /// From UPDATEs to the kernel's answers.
    pub update_to_kernel: Histogram,
    /// What the process takes. The core does not know that.
    pub process: Option<Process>,
}

/// One router.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Router {
    /// Its name.
    pub name: String,
    /// Whether there is a session.
    pub established: bool,
    /// Times that the session came up.
    pub established_count: u64,
    /// Routes received and kept.
    pub imported: u64,
    /// Routes sent.
    pub exported: u64,
    /// Where it is watched by BFD: whether that session is Up, and how often the path failed.
    pub bfd: Option<(bool, u64)>,
}

/// A monitoring station.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Station {
    /// Where it listens.
    pub address: String,
    /// Whether it was told everything.
    pub synchronised: bool,
    /// Connections so far.
    pub connections: u64,
    /// Connections that ended because it was too slow.
    pub too_slow: u64,
    /// Messages so far.
    pub messages: u64,
}

/// The log of messages in MRT files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateLog {
    /// Whether it can be written.
    pub writing: bool,
    /// Records written so far.
    pub records: u64,
    /// Their octets.
    pub octets: u64,
    /// Records that are lost.
    pub lost: u64,
}

/// A watch of the Kubernetes API.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watch {
    /// Of which kind.
    pub kind: &'static str,
    /// Whether changes arrive right now.
    pub connected: bool,
    /// Complete listings.
    pub listings: u64,
    /// Failures, each followed by another try.
    pub failures: u64,
    /// Objects that arrived and could not be used.
    pub invalid: u64,
    /// When something last arrived, in seconds since 1970.
    pub last_event: Option<u64>,
}

/// The copy of the objects on disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cache {
    /// Whether it is what is in force.
    pub in_force: bool,
    /// When it was last written, in seconds since 1970.
    pub written: Option<i64>,
    /// Objects on disk.
    pub objects: u64,
    /// Whether changes wait to be written.
    pub behind: bool,
    /// Attempts to write that failed.
    pub failures: u64,
}

/// Writes a snapshot in the Prometheus text format.
///
/// # Errors
/// Only a mistake in this module: a metric named twice or with the wrong labels.
pub fn encode(snapshot: &Snapshot) -> prometheus::Result<String> {
    let registry = Registry::new();
    let page = Page {
        registry: &registry,
    };
    page.build_info()?;
    page.sessions(snapshot)?;
    page.routes(snapshot)?;
    page.bfd(snapshot)?;
    page.stations(&snapshot.stations)?;
    page.update_log(snapshot.update_log.as_ref())?;
    page.kernel(snapshot)?;
    page.objects(snapshot)?;
    page.watches(&snapshot.watches)?;
    page.cache(snapshot.cache.as_ref())?;
    page.latencies(snapshot)?;
    page.process(snapshot.process.as_ref())?;
    TextEncoder::new().encode_to_string(&registry.gather())
}

struct Page<'r> {
    registry: &'r Registry,
}

impl Page<'_> {
    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn build_info(&self) -> prometheus::Result<()> {
        let opts = Opts::new(
            "redstart_build_info",
            "Version of the running daemon; always 1.",
        );
        let info = self.add(GaugeVec::new(opts, &["version"])?)?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1.0);
        Ok(())
    }

    fn sessions(&self, s: &Snapshot) -> prometheus::Result<()> {
        let sessions = self.gauge(
            "redstart_sessions",
            "Neighbours by role and BGP state.",
            &["role", "state"],
        )?;
        for ((role, state), n) in &s.sessions {
            sessions.with_label_values(&[role, state]).set(signed(*n));
        }
        let up = self.gauge(
            "redstart_router_up",
            "Whether the session with a router is established.",
            &["peer"],
        )?;
        let count = self.counter(
            "redstart_router_established_total",
            "Times that the session with a router came up.",
            &["peer"],
        )?;
        let routes = self.gauge(
            "redstart_router_routes",
            "Routes exchanged with a router.",
            &["peer", "direction"],
        )?;
        for r in &s.routers {
            up.with_label_values(&[&r.name])
                .set(i64::from(r.established));
            count
                .with_label_values(&[&r.name])
                .inc_by(r.established_count);
            routes
                .with_label_values(&[r.name.as_str(), "imported"])
                .set(signed(r.imported));
            routes
                .with_label_values(&[r.name.as_str(), "exported"])
                .set(signed(r.exported));
        }
        let messages = self.counter(
            "redstart_messages_total",
            "BGP messages by role of the neighbour, direction and type.",
            &["role", "direction", "type"],
        )?;
        for ((role, direction, kind), n) in &s.messages {
            messages
                .with_label_values(&[role, direction, kind])
                .inc_by(*n);
        }
        let refused = self.counter(
            "redstart_connections_refused_total",
            "Incoming connections that were closed at once, by reason.",
            &["reason"],
        )?;
        for (reason, n) in &s.connections_refused {
            refused.with_label_values(&[reason]).inc_by(*n);
        }
        Ok(())
    }

    fn routes(&self, s: &Snapshot) -> prometheus::Result<()> {
        let prefixes = self.gauge(
            "redstart_prefixes",
            "Destinations in the table.",
            &["family"],
        )?;
        for (family, n) in &s.prefixes {
            prefixes.with_label_values(&[family]).set(signed(*n));
        }
        let own = IntGauge::new("redstart_originated_prefixes", "Routes of this node's own.")?;
        self.add(own)?.set(signed(s.originated));
        let refused = self.gauge(
            "redstart_routes_refused",
            "Received routes that are refused, by role of the neighbour and reason.",
            &["role", "reason"],
        )?;
        for ((role, reason), n) in &s.refused {
            refused.with_label_values(&[role, reason]).set(signed(*n));
        }
        Ok(())
    }

    fn bfd(&self, s: &Snapshot) -> prometheus::Result<()> {
        let sessions = self.gauge(
            "redstart_bfd_sessions",
            "BFD sessions by state.",
            &["state"],
        )?;
        for (state, n) in &s.bfd_sessions {
            sessions.with_label_values(&[state]).set(signed(*n));
        }
        let discarded = self.counter(
            "redstart_bfd_packets_discarded_total",
            "Packets that came to the ports of BFD and were of no use, by reason.",
            &["reason"],
        )?;
        for (reason, n) in &s.bfd_discarded {
            discarded.with_label_values(&[reason]).inc_by(*n);
        }
        let up = self.gauge(
            "redstart_router_bfd_up",
            "Whether the BFD session with a router is Up.",
            &["peer"],
        )?;
        let failures = self.counter(
            "redstart_router_bfd_failures_total",
            "Times that the path to a router failed.",
            &["peer"],
        )?;
        for (name, bfd) in s.routers.iter().map(|r| (&r.name, r.bfd)) {
            if let Some((is_up, failed)) = bfd {
                up.with_label_values(&[name]).set(i64::from(is_up));
                failures.with_label_values(&[name]).inc_by(failed);
            }
        }
        Ok(())
    }

    fn stations(&self, stations: &[Station]) -> prometheus::Result<()> {
        let synchronised = self.gauge(
            "redstart_bmp_station_synchronised",
            "Whether a monitoring station was told everything.",
            &["station"],
        )?;
        let connections = self.counter(
            "redstart_bmp_station_connections_total",
            "Connections to a monitoring station.",
            &["station"],
        )?;
        let too_slow = self.counter(
            "redstart_bmp_station_too_slow_total",
            "Connections that ended because the monitoring station was too slow.",
            &["station"],
        )?;
        let messages = self.counter(
            "redstart_bmp_station_messages_total",
            "BMP messages sent to a monitoring station.",
            &["station"],
        )?;
        for s in stations {
            let of = &[s.address.as_str()];
            synchronised
                .with_label_values(of)
                .set(s.synchronised.into());
            connections.with_label_values(of).inc_by(s.connections);
            too_slow.with_label_values(of).inc_by(s.too_slow);
            messages.with_label_values(of).inc_by(s.messages);
        }
        Ok(())
    }

    fn update_log(&self, log: Option<&UpdateLog>) -> prometheus::Result<()> {
        let Some(log) = log else { return Ok(()) };
        let writing = IntGauge::new(
            "redstart_mrt_log_writing",
            "Whether the log of messages in MRT files can be written.",
        )?;
        self.add(writing)?.set(log.writing.into());
        for (name, help, value) in [
            (
                "redstart_mrt_log_records_total",
                "Records written to the MRT log.",
                log.records,
            ),
            (
                "redstart_mrt_log_octets_total",
                "Octets written to the MRT log.",
                log.octets,
            ),
            (
                "redstart_mrt_log_lost_records_total",
                "Records of the MRT log that are lost, because they could not be written in time.",
                log.lost,
            ),
        ] {
            self.add(prometheus::IntCounter::new(name, help)?)?
                .inc_by(value);
        }
        Ok(())
    }

    fn kernel(&self, s: &Snapshot) -> prometheus::Result<()> {
        let routes = self.gauge(
            "redstart_kernel_routes",
            "Routes for the kernel by state.",
            &["state"],
        )?;
        for (state, n) in &s.kernel_routes {
            routes.with_label_values(&[state]).set(signed(*n));
        }
        let parked = self.gauge(
            "redstart_kernel_routes_parked",
            "Routes for the kernel that cannot be installed now, by reason.",
            &["reason"],
        )?;
        for (reason, n) in &s.kernel_parked {
            parked.with_label_values(&[reason]).set(signed(*n));
        }
        let operations = self.counter(
            "redstart_kernel_operations_total",
            "Route operations sent to the kernel, by what came of them.",
            &["outcome"],
        )?;
        for (outcome, n) in &s.kernel_operations {
            operations.with_label_values(&[outcome]).inc_by(*n);
        }
        let drift = prometheus::IntCounter::new(
            "redstart_kernel_drift_total",
            "Kernel routes that differed from what was believed, and were repaired.",
        )?;
        self.add(drift)?.inc_by(s.kernel_drift);
        Ok(())
    }

    fn objects(&self, s: &Snapshot) -> prometheus::Result<()> {
        let objects = self.gauge("redstart_objects", "Objects known, by kind.", &["kind"])?;
        for (kind, n) in &s.objects {
            objects.with_label_values(&[kind]).set(signed(*n));
        }
        let healthy = self.gauge(
            "redstart_source_healthy",
            "Whether objects of a kind arrive without trouble.",
            &["kind"],
        )?;
        for (kind, ok) in &s.source_healthy {
            healthy.with_label_values(&[kind]).set(i64::from(*ok));
        }
        let problems = self.gauge(
            "redstart_object_problems",
            "What is wrong with objects, by kind and reason.",
            &["kind", "reason"],
        )?;
        for ((kind, reason), n) in &s.problems {
            problems.with_label_values(&[kind, reason]).set(signed(*n));
        }
        let ready = IntGauge::new("redstart_ready", "Whether the speaker is ready.")?;
        self.add(ready)?.set(i64::from(s.ready));
        Ok(())
    }

    fn watches(&self, watches: &[Watch]) -> prometheus::Result<()> {
        let connected = self.gauge(
            "redstart_watch_connected",
            "Whether changes of a kind arrive from the API server right now.",
            &["kind"],
        )?;
        let last = self.gauge(
            "redstart_watch_last_event_timestamp_seconds",
            "When the API server last sent an object of a kind.",
            &["kind"],
        )?;
        let counter = |name, help| self.counter(name, help, &["kind"]);
        let listings = counter(
            "redstart_watch_listings_total",
            "Complete listings of a kind.",
        )?;
        let failures = counter(
            "redstart_watch_failures_total",
            "Failures of a kind's watch; each is followed by another try.",
        )?;
        let invalid = counter(
            "redstart_watch_invalid_objects_total",
            "Objects of a kind that arrived and could not be used.",
        )?;
        for watch in watches {
            let of_kind = &[watch.kind];
            connected
                .with_label_values(of_kind)
                .set(i64::from(watch.connected));
            listings.with_label_values(of_kind).inc_by(watch.listings);
            failures.with_label_values(of_kind).inc_by(watch.failures);
            invalid.with_label_values(of_kind).inc_by(watch.invalid);
            if let Some(at) = watch.last_event {
                last.with_label_values(of_kind).set(signed(at));
            }
        }
        Ok(())
    }

    fn cache(&self, cache: Option<&Cache>) -> prometheus::Result<()> {
        let Some(cache) = cache else { return Ok(()) };
        let set = |name: &str, help: &str, value: i64| {
            self.add(IntGauge::new(name, help)?)?.set(value);
            Ok::<_, prometheus::Error>(())
        };
        set(
            "redstart_cache_in_force",
            "Whether the objects in force are those on disk: the API server has not listed every kind since the start.",
            i64::from(cache.in_force),
        )?;
        set(
            "redstart_cache_behind",
            "Whether changes wait to be written to the disk.",
            i64::from(cache.behind),
        )?;
        set(
            "redstart_cache_objects",
            "Objects on disk.",
            signed(cache.objects),
        )?;
        if let Some(at) = cache.written {
            set(
                "redstart_cache_written_timestamp_seconds",
                "When the objects on disk last changed.",
                at,
            )?;
        }
        let failures = prometheus::IntCounter::new(
            "redstart_cache_write_failures_total",
            "Attempts to write objects to the disk that failed.",
        )?;
        self.add(failures)?.inc_by(cache.failures);
        Ok(())
    }

    fn latencies(&self, s: &Snapshot) -> prometheus::Result<()> {
        self.add(Histograms::labelled(
            "redstart_event_to_wire_seconds",
            "Time from the arrival of a change of objects until the session of a neighbour took the routes that follow from it, to send them; by role of the neighbour.",
            "role",
            &s.event_to_wire,
        )?)?;
        self.add(Histograms::one(
            "redstart_update_to_kernel_seconds",
            "Time from reading UPDATEs of a neighbour until the kernel had answered the last of the route operations that follow from them.",
            &s.update_to_kernel,
        )?)?;
        Ok(())
    }

    fn process(&self, process: Option<&Process>) -> prometheus::Result<()> {
        let Some(process) = process else {
            return Ok(());
        };
        let cpu = "Total user and system CPU time spent in seconds.";
        let cpu = Counter::new("process_cpu_seconds_total", cpu)?;
        self.add(cpu)?.inc_by(process.cpu_seconds);
        let started = "Start time of the process since unix epoch in seconds.";
        let started = Gauge::new("process_start_time_seconds", started)?;
        self.add(started)?.set(process.start_seconds);
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
                Some(process.resident_bytes),
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes.",
                Some(process.virtual_bytes),
            ),
            (
                "process_threads",
                "Number of OS threads in the process.",
                Some(process.threads),
            ),
            (
                "process_open_fds",
                "Number of open file descriptors.",
                Some(process.open_fds),
            ),
            (
                "process_max_fds",
                "Maximum number of open file descriptors.",
                process.max_fds,
            ),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                self.add(IntGauge::new(name, help)?)?.set(signed(value));
            }
        }
        Ok(())
    }
}

/// Prometheus gauges are signed; no count of ours comes near the limit.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
