//! A histogram of the core's, as Prometheus has it.

use std::collections::{BTreeMap, HashMap};

use prometheus::{
    core::{Collector, Desc},
    proto::{Bucket, LabelPair, Metric, MetricFamily, MetricType},
};
use redstart_rib::histogram::Histogram;

/// Histograms of one name, in seconds.
#[derive(Clone, Debug)]
pub(super) struct Histograms {
    desc: Desc,
    metrics: Vec<Metric>,
}

impl Histograms {
    /// One without labels.
    pub(super) fn one(name: &str, help: &str, histogram: &Histogram) -> prometheus::Result<Self> {
        Self::new(name, help, None, vec![metric(None, histogram)])
    }

    /// One for each value of a label.
    pub(super) fn labelled(
        name: &str,
        help: &str,
        label: &str,
        histograms: &BTreeMap<&'static str, Histogram>,
    ) -> prometheus::Result<Self> {
        let of = |(value, histogram): (&&str, _)| metric(Some((label, value)), histogram);
        let metrics = histograms.iter().map(of).collect();
        Self::new(name, help, Some(label), metrics)
    }

    fn new(
        name: &str,
        help: &str,
        label: Option<&str>,
        metrics: Vec<Metric>,
    ) -> prometheus::Result<Self> {
        let labels = label.map(str::to_owned).into_iter().collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        Ok(Self { desc, metrics })
    }
}

impl Collector for Histograms {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(self.metrics.clone());
        vec![family]
    }
}

fn metric(label: Option<(&str, &str)>, histogram: &Histogram) -> Metric {
    let labels = label.map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    });
    let buckets = histogram.cumulative().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut encoded = prometheus::proto::Histogram::default();
    encoded.set_sample_count(histogram.count());
    encoded.set_sample_sum(histogram.sum().as_secs_f64());
    encoded.set_bucket(buckets.collect());
    let mut metric = Metric::from_label(labels.into_iter().collect());
    metric.set_histogram(encoded);
    metric
}
