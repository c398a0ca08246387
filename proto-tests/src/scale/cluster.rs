//! The objects of the cluster, about as large as those of real ones, and what happens to them.
//!
//! Nodes have the labels, conditions and images that kubelets write, and managed fields; nothing of
//! that is of use to the speaker, which must not pay for it.

use std::{collections::BTreeSet, net::Ipv4Addr};

use serde_json::{Value, json};

use super::{Size, ground::ROUTER, peer::Said};
use crate::apiserver::{ApiServer, Gvr};

/// The nodes that reflect, by number. The speaker is that of node 0.
pub const REFLECTORS: [u32; 3] = [1, 2, 3];

/// Every how many Services there is one with a load balancer address.
const BALANCED: u32 = 2;
const NAMESPACES: u32 = 100;

/// A cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    size: Size,
    mesh: Mesh,
}

/// How the nodes peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mesh {
    /// With the [`REFLECTORS`].
    Reflected,
    /// With each other.
    Full,
}

/// Something that happens, and what the router is told thereupon.
#[derive(Clone, Debug)]
pub struct Change {
    /// The object as it is then.
    pub object: Value,
    /// What the router is told.
    pub expected: Said,
}

/// The address of a node.
#[must_use]
pub fn address(node: u32) -> Ipv4Addr {
    let [.., low] = (node % 200 + 10).to_be_bytes();
    let [.., high] = (node / 200 + 1).to_be_bytes();
    Ipv4Addr::new(10, 0, high, low)
}

/// Its pod CIDR, a /24.
fn pod_cidr(node: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 128, 0, 0).to_bits() + (node << 8))
}

/// Its name.
pub(super) fn name(node: u32) -> String {
    format!("node-{node:05}.rack-{:03}.example.net", node / 40)
}

fn in_range(base: Ipv4Addr, number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(base.to_bits() + number)
}

fn load_balancer_ip(service: u32) -> Ipv4Addr {
    in_range(Ipv4Addr::new(172, 20, 0, 0), service)
}

/// The address that a Service changes to and back from.
fn other_load_balancer_ip(service: u32) -> Ipv4Addr {
    in_range(Ipv4Addr::new(172, 24, 0, 0), service)
}

/// Every second one of those that have a load balancer address has traffic policy Local.
fn is_local(service: u32) -> bool {
    service % (2 * BALANCED) == BALANCED
}

impl Cluster {
    /// Of this size.
    #[must_use]
    pub fn new(size: &Size) -> Self {
        let mesh = Mesh::Reflected;
        Self {
            size: size.clone(),
            mesh,
        }
    }

    /// Of this many nodes that all peer with each other, with nothing else in it.
    #[must_use]
    pub fn full_mesh(size: &Size) -> Self {
        let size = Size {
            services: 0,
            ..size.clone()
        };
        let mesh = Mesh::Full;
        Self { size, mesh }
    }

    /// The name of the speaker's node.
    #[must_use]
    pub fn own_name(&self) -> String {
        name(0)
    }

    /// Every object.
    pub fn objects(&self) -> impl Iterator<Item = Value> + '_ {
        let mesh = match self.mesh {
            Mesh::Full => json!({"mode": "FullMesh"}),
            Mesh::Reflected => json!({"mode": "RouteReflector", "routeReflector": {
                "nodeSelector": {"matchLabels": {"example.com/reflector": "true"}}}}),
        };
        let own = [
            json!({
                "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPConfiguration",
                "metadata": {"name": "default"}, "spec": {"mesh": mesh},
            }),
            json!({
                "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPPeer",
                "metadata": {"name": "tor"},
                "spec": {"address": ROUTER.to_string(), "asn": 64999},
            }),
            json!({
                "apiVersion": "redstart.dev/v1alpha1", "kind": "BGPAdvertisement",
                "metadata": {"name": "public"},
                "spec": {"services": {"addresses": ["LoadBalancerIP"]}, "communities": ["64512:100"]},
            }),
        ];
        let nodes = (0..self.size.nodes).map(|n| self.node(n, 0));
        let services = (0..self.size.services).map(|n| service(n, load_balancer_ip(n)));
        let slices = (0..self.size.services).map(|n| self.slice(n, &[]));
        own.into_iter().chain(nodes).chain(services).chain(slices)
    }

    /// The host routes that the speaker's node advertises at first.
    #[must_use]
    pub fn advertised(&self) -> BTreeSet<Ipv4Addr> {
        self.served_here().map(load_balancer_ip).collect()
    }

    /// The same after every address has changed.
    #[must_use]
    pub fn advertised_elsewhere(&self) -> BTreeSet<Ipv4Addr> {
        self.served_here().map(other_load_balancer_ip).collect()
    }

    /// The Services whose load balancer address the speaker's node can serve.
    fn served_here(&self) -> impl Iterator<Item = u32> + '_ {
        let balanced = (0..self.size.services).filter(|n| n.is_multiple_of(BALANCED));
        balanced.filter(|n| !is_local(*n) || self.nodes_of(*n).any(|node| node == 0))
    }

    /// Every Service with its other address.
    pub fn moved(&self) -> impl Iterator<Item = Value> + '_ {
        (0..self.size.services).map(|n| service(n, other_load_balancer_ip(n)))
    }

    /// Every slice with no endpoint in it.
    pub fn without_endpoints(&self) -> impl Iterator<Item = Value> + '_ {
        (0..self.size.services).map(|n| slice_of(n, &[]))
    }

    /// Deletes every Service.
    pub fn delete_services(&self, server: &ApiServer) {
        let services = Gvr::new("", "v1", "services");
        for n in 0..self.size.services {
            server.remove(&services, &namespace(n), &service_name(n));
        }
    }

    /// The neighbours of the speaker within the mesh, by number.
    pub fn neighbours(&self) -> impl Iterator<Item = u32> + use<> {
        match self.mesh {
            Mesh::Full => 1..self.size.nodes,
            Mesh::Reflected => REFLECTORS[0]..REFLECTORS[2] + 1,
        }
    }

    /// What such a neighbour announces, by owner and pod CIDR: a reflector those of every node but the
    /// speaker's, any other node its own.
    pub fn announced(&self, node: u32) -> impl Iterator<Item = (Ipv4Addr, Ipv4Addr)> + use<> {
        let nodes = match self.mesh {
            Mesh::Full => node..node + 1,
            Mesh::Reflected => 1..self.size.nodes,
        };
        nodes.map(|n| (address(n), pod_cidr(n)))
    }

    /// The nodes on which a Service has its endpoints.
    fn nodes_of(&self, service: u32) -> impl Iterator<Item = u32> + '_ {
        let nodes = self.size.nodes;
        let first = service.wrapping_mul(2_654_435_761) % nodes;
        (0..self.size.endpoints).map(move |k| (first + k * 7) % nodes)
    }

    fn node(&self, node: u32, heartbeat: u32) -> Value {
        let condition = |kind: &str, status: &str| condition(kind, status, heartbeat);
        let reflector = REFLECTORS.contains(&node);
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": name(node), "uid": uid(1, node),
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {
                    "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
                    "kubernetes.io/hostname": name(node),
                    "node.kubernetes.io/instance-type": "metal.large",
                    "topology.kubernetes.io/region": "region-1",
                    "topology.kubernetes.io/zone": format!("zone-{}", node % 3),
                    "example.com/rack": format!("rack-{:03}", node / 40),
                    "example.com/pool": format!("pool-{}", node % 7),
                    "example.com/serial": format!("SN{node:08}"),
                    "example.com/reflector": reflector.to_string(),
                },
                "annotations": {
                    "node.alpha.kubernetes.io/ttl": "0",
                    "volumes.kubernetes.io/controller-managed-attach-detach": "true",
                },
                "managedFields": managed_fields("kubelet", 40),
            },
            "spec": {
                "podCIDR": format!("{}/24", pod_cidr(node)),
                "podCIDRs": [format!("{}/24", pod_cidr(node))],
                "providerID": format!("metal://{node}"),
            },
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": address(node).to_string()},
                    {"type": "Hostname", "address": name(node)},
                ],
                "capacity": {"cpu": "96", "memory": "790964944Ki", "pods": "250"},
                "allocatable": {"cpu": "95", "memory": "780964944Ki", "pods": "250"},
                "conditions": [
                    condition("NetworkUnavailable", "False"), condition("MemoryPressure", "False"),
                    condition("DiskPressure", "False"), condition("PIDPressure", "False"),
                    condition("Ready", "True"),
                ],
                "images": images(node),
                "nodeInfo": {
                    "kernelVersion": "6.12.48", "osImage": "Debian GNU/Linux 13",
                    "kubeletVersion": "v1.34.1", "containerRuntimeVersion": "containerd://2.1.4",
                    "architecture": "amd64", "operatingSystem": "linux",
                },
            },
        })
    }

    /// The slice of a Service; some endpoints in another state than ready.
    fn slice(&self, service: u32, states: &[(u32, State)]) -> Value {
        let endpoint = |(k, node): (u32, u32)| {
            let state = states.iter().find(|(at, _)| *at == k);
            let state = state.map_or(State::Ready, |(_, state)| *state);
            // A pod that takes another's place has another address.
            let number = service * self.size.endpoints + k;
            json!({
                "addresses": [in_range(Ipv4Addr::new(10, 192, 0, 0), number).to_string()],
                "conditions": state.conditions(),
                "nodeName": name(node), "zone": format!("zone-{}", node % 3),
                "targetRef": {
                    "kind": "Pod", "namespace": namespace(service), "uid": uid(2, number),
                    "name": format!("service-{service:05}-7d4b9c6f5d-{k:05}"),
                },
            })
        };
        let endpoints: Vec<Value> = (0..).zip(self.nodes_of(service)).map(endpoint).collect();
        slice_of(service, &endpoints)
    }

    /// Changes that the router is told of, one after another: an address that becomes another one, a
    /// local endpoint that is ready no longer, and each taken back.
    pub fn changes(&self, count: u32) -> impl Iterator<Item = Change> + '_ {
        let balanced = (0..self.size.services / BALANCED).map(|n| n * BALANCED);
        let moving = balanced.clone().filter(|n| !is_local(*n));
        let elsewhere = |n: &u32| !self.nodes_of(*n).any(|node| node == 0);
        let flapping = balanced.filter(|n| is_local(*n)).filter(elsewhere);
        let pairs = moving.zip(flapping);
        let changes = pairs.flat_map(|(moving, flapping)| {
            let other = other_load_balancer_ip(moving);
            let local = load_balancer_ip(flapping);
            let withdrawn = |object| (object, Said::Withdrawn(local));
            let announced = |object| (object, Said::Announced(local));
            let everywhere = self.local_slice(flapping, Some(State::Ready));
            let elsewhere = self.local_slice(flapping, None);
            [
                (service(moving, other), Said::Announced(other)),
                announced(everywhere),
                (
                    service(moving, load_balancer_ip(moving)),
                    Said::Announced(load_balancer_ip(moving)),
                ),
                withdrawn(elsewhere),
            ]
        });
        let changes = changes.map(|(object, expected)| Change { object, expected });
        changes.take(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// The slice of a Service with an endpoint in this state on the speaker's node, or with none there.
    fn local_slice(&self, service: u32, here: Option<State>) -> Value {
        let (node, state) = here.map_or((1, State::Ready), |state| (0, state));
        let endpoint = json!({
            "addresses": ["10.192.0.1"], "conditions": state.conditions(),
            "nodeName": name(node),
        });
        let elsewhere = json!({
            "addresses": ["10.192.0.2"], "conditions": State::Ready.conditions(),
            "nodeName": name(2),
        });
        slice_of(service, &[endpoint, elsewhere])
    }

    /// Endpoints are replaced one by one, as a Deployment does it: the old one terminates, another one
    /// that is not ready takes its place, it becomes ready. Each step is one write of the slice.
    pub fn rolling_restart(&self, endpoints: u32) -> impl Iterator<Item = Value> + '_ {
        let each = self.size.endpoints.max(1);
        (0..endpoints).flat_map(move |n| {
            let (service, k) = (n / each, n % each);
            [State::Terminating, State::Starting, State::Ready]
                .map(|state| self.slice(service, &[(k, state)]))
        })
    }

    /// An endpoint on the speaker's node for each of so many Services of policy `Local`, whose addresses it
    /// advertises as long as that is ready.
    pub fn endpoints_here(&self, endpoints: u32) -> impl Iterator<Item = Value> + '_ {
        let services = self.local_elsewhere(endpoints);
        services.map(|service| self.local_slice(service, Some(State::Ready)))
    }

    /// Those are restarted one by one: each address is withdrawn and advertised again.
    pub fn rolling_restart_here(&self, endpoints: u32) -> impl Iterator<Item = Value> + '_ {
        self.local_elsewhere(endpoints).flat_map(|service| {
            [State::Terminating, State::Starting, State::Ready]
                .map(|state| self.local_slice(service, Some(state)))
        })
    }

    /// The last of the Services of policy `Local` with an advertised address and no endpoint on the speaker's
    /// node. Those that change one by one are the first.
    fn local_elsewhere(&self, count: u32) -> impl Iterator<Item = u32> + '_ {
        let services = (0..self.size.services).rev().filter(|n| is_local(*n));
        let elsewhere = services.filter(|n| !self.nodes_of(*n).any(|node| node == 0));
        elsewhere.take(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Every Node with a new heartbeat in its conditions.
    pub fn heartbeats(&self) -> impl Iterator<Item = Value> + '_ {
        (0..self.size.nodes).map(|n| self.node(n, 30))
    }

    /// One more Node.
    #[must_use]
    pub fn newcomer(&self, node: u32) -> Value {
        self.node(node, 0)
    }

    /// It goes again.
    pub fn leaves(&self, server: &ApiServer, node: u32) {
        server.remove(&Gvr::new("", "v1", "nodes"), "", &name(node));
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Ready,
    Terminating,
    Starting,
}

impl State {
    fn conditions(self) -> Value {
        let (ready, serving, terminating) = match self {
            Self::Ready => (true, true, false),
            Self::Terminating => (false, true, true),
            Self::Starting => (false, false, false),
        };
        json!({"ready": ready, "serving": serving, "terminating": terminating})
    }
}

fn namespace(service: u32) -> String {
    format!("team-{:03}", service % NAMESPACES)
}

fn condition(kind: &str, status: &str, heartbeat: u32) -> Value {
    json!({
        "type": kind, "status": status, "reason": format!("Kubelet{kind}"),
        "message": "kubelet says that all is well",
        "lastHeartbeatTime": format!("2026-11-01T00:00:{:02}Z", heartbeat % 60),
        "lastTransitionTime": "2026-10-01T00:00:00Z",
    })
}

fn images(node: u32) -> Vec<Value> {
    let image = |image: u32| {
        let name = format!("registry.example.net/team-{image}/program");
        json!({
            "names": [format!("{name}@sha256:{:064x}", node + image), format!("{name}:v1.{node}")],
            "sizeBytes": 104_857_600 + image,
        })
    };
    (0..30).map(image).collect()
}

fn service_name(service: u32) -> String {
    format!("service-{service:05}")
}

fn service(service: u32, load_balancer_ip: Ipv4Addr) -> Value {
    let balanced = service.is_multiple_of(BALANCED);
    let ingress = if balanced {
        json!([{"ip": load_balancer_ip.to_string()}])
    } else {
        json!([])
    };
    let policy = if is_local(service) {
        "Local"
    } else {
        "Cluster"
    };
    let app = service_name(service);
    let mut object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": app, "namespace": namespace(service), "uid": uid(3, service),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "app.kubernetes.io/name": app, "app.kubernetes.io/instance": app,
                "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "web-1.2.3",
            },
            "annotations": {"meta.helm.sh/release-name": app},
            "managedFields": managed_fields("helm", 12),
        },
        "spec": {
            "type": if balanced { "LoadBalancer" } else { "ClusterIP" },
            "clusterIP": in_range(Ipv4Addr::new(172, 16, 0, 0), service).to_string(),
            "clusterIPs": [in_range(Ipv4Addr::new(172, 16, 0, 0), service).to_string()],
            "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
            "ports": [
                {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080},
                {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 8443},
            ],
            "selector": {"app.kubernetes.io/name": app},
        },
        "status": {"loadBalancer": {"ingress": ingress}},
    });
    if balanced && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("externalTrafficPolicy".to_owned(), json!(policy));
    }
    object
}

fn slice_of(service: u32, endpoints: &[Value]) -> Value {
    let app = service_name(service);
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{app}-x7k2p"), "namespace": namespace(service), "uid": uid(4, service),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": app, "app.kubernetes.io/name": app,
            },
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-11-01T00:00:00Z"},
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": app, "uid": uid(3, service),
                "controller": true, "blockOwnerDeletion": true,
            }],
            "managedFields": managed_fields("kube-controller-manager", 12),
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [
            {"name": "http", "port": 8080, "protocol": "TCP"},
            {"name": "https", "port": 8443, "protocol": "TCP"},
        ],
    })
}

fn uid(kind: u32, number: u32) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

/// Who wrote what: of every real object a large part.
fn managed_fields(manager: &str, fields: u32) -> Value {
    let names = (0..fields).map(|n| (format!("f:field-{n}"), json!({})));
    let fields: serde_json::Map<String, Value> = names.collect();
    json!([{
        "manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "time": "2026-11-01T00:00:00Z", "fieldsV1": {"f:metadata": fields},
    }])
}
