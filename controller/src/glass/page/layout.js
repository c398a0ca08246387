// Where each peer stands on the map. Pure: names in, places out.
//
// This node is in the middle. Each group of peers has a sector of the ring around it, as wide as its share.
// Few peers stand on one ring; more stand in rows, arc behind arc, as far apart as there is room for, in
// the middle of their sector. Routers are on top.

/** From the middle to the first row. */
const INNER = 150;
/** To the only row, at the most. */
const RING = 300;
/** To the last row. */
const OUTER = 430;
/** Distances between peers, in the order in which they are tried. */
const SPACINGS = [84, 72, 64, 56, 48, 42, 36, 32, 28, 24, 21, 18, 16, 14, 12, 10, 8, 6];
/** Between peers on one ring. */
const ON_RING = 84;
/** Where a small group has more room than the others, its peers stand no further apart than this. */
const APART = 42;
/** Between two sectors, in radians. */
const GAP = 0.07;
/** No sector is smaller than this share: its name needs room, too. */
const LEAST = 0.07;
const TURN = 2 * Math.PI;
/** More groups of nodes than this are hard to tell apart. */
const GROUPS = 20;
/** Nodes up to this number are one group. */
const ONE_GROUP = 40;
/** As many AS numbers of routers are worth a group each. */
const SYSTEMS = 6;

/** Peers in groups: routers by AS, nodes by subnet, which on most sites is the rack. */
export function group(peers) {
  const routers = peers.filter((peer) => peer.role === "router");
  const nodes = peers.filter((peer) => peer.role !== "router");
  const by_as = collect(routers, (peer) => (peer.remoteAs ? `AS ${peer.remoteAs}` : "AS not known"));
  return [
    ...(by_as.length > SYSTEMS ? [{ name: "Routers", peers: routers }] : by_as),
    ...(nodes.length > ONE_GROUP ? by_subnet(nodes) : collect(nodes, () => "Mesh")),
  ];
}

function collect(peers, name_of) {
  const groups = new Map();
  for (const peer of peers) {
    const name = name_of(peer);
    groups.set(name, [...(groups.get(name) ?? []), peer]);
  }
  return [...groups].map(([name, members]) => ({ name, peers: members }))
    .sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
}

/** By the longest prefixes that make few groups. */
function by_subnet(nodes) {
  const lengths = [[24, 64], [22, 60], [20, 56], [18, 52], [16, 48], [12, 40], [8, 32], [0, 0]];
  const attempts = lengths.map((pair) => () => collect(nodes, (node) => subnet(node.remote, pair)));
  for (const attempt of attempts) {
    const groups = attempt();
    if (groups.length <= GROUPS) return groups;
  }
  return collect(nodes, () => "Mesh");
}

/** The subnet of `10.0.0.1:179` or `[fd00::1]:179`. */
export function subnet(remote, [v4, v6]) {
  if (!remote) return "address not known";
  if (remote.startsWith("[")) {
    const whole = parts_of_ipv6(remote.slice(1, remote.indexOf("]")).replace(/%.*/, ""));
    const kept = mask(whole, 16, v6).map((part) => part.toString(16));
    return `${kept.join(":").replace(/(:0)+$/, "")}::/${v6}`;
  }
  const whole = remote.replace(/:\d+$/, "").split(".").map(Number);
  return `${mask(whole, 8, v4).join(".")}/${v4}`;
}

function parts_of_ipv6(text) {
  const [front, back] = text.split("::").map((half) => (half ? half.split(":") : []));
  const missing = back ? 8 - front.length - back.length : 0;
  return [...front, ...Array(missing).fill("0"), ...(back ?? [])].map((part) => parseInt(part, 16));
}

/** The first `length` bits of a list of numbers of so many bits each. */
function mask(parts, bits, length) {
  return parts.map((part, n) => {
    const kept = Math.min(Math.max(length - n * bits, 0), bits);
    return part & (((1 << kept) - 1) << (bits - kept));
  });
}

/**
 * A place for each peer: `{ spacing, inner, outer, sectors }`, each sector with `spacing`, `from`, `to`,
 * `rows`, `outer` and `spots`.
 */
export function place(groups) {
  const sectors = spread(groups);
  const ring = Math.max(INNER, ...sectors.map(({ peers, from, to }) => (peers.length * ON_RING) / (to - from)));
  if (ring <= RING) return filled(sectors.map((sector) => fill(sector, ON_RING, ring)), ring);
  const within = (spacing, outer) => (sector) => fill(sector, spacing, INNER).outer <= outer;
  const common = SPACINGS.find((spacing) => sectors.every(within(spacing, OUTER))) ?? SPACINGS.at(-1);
  const { outer } = filled(sectors.map((sector) => fill(sector, common, INNER)), INNER);
  const widest = (sector) => SPACINGS.find((spacing) =>
    spacing <= Math.max(common, APART) && within(spacing, outer)(sector)) ?? common;
  const settled = (sector) => {
    const spacing = widest(sector);
    return fill(sector, spacing, INNER + (outer - fill(sector, spacing, INNER).outer) / 2);
  };
  return { ...filled(sectors.map(settled), INNER), outer };
}

function filled(sectors, inner) {
  const of = (value) => sectors.map((sector) => sector[value]);
  return { inner, outer: Math.max(inner, ...of("outer")), spacing: Math.max(...of("spacing")), sectors };
}

function spread(groups) {
  const all = groups.reduce((sum, { peers }) => sum + peers.length, 0);
  const weights = groups.map(({ peers }) => Math.max(peers.length, LEAST * all));
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  const gap = groups.length > 1 ? GAP : 0;
  const angles = weights.map((weight) => (weight / whole) * (TURN - groups.length * gap));
  const is_router = ({ peers }) => peers[0]?.role === "router";
  const routers = angles.filter((_, n) => is_router(groups[n]));
  let from = -TURN / 4 - (routers.reduce((sum, angle) => sum + angle + gap, 0) - gap) / 2;
  return groups.map(({ name, peers }, n) => {
    const sector = { name, peers, from, to: from + angles[n] };
    from = sector.to + gap;
    return sector;
  });
}

function fill(sector, spacing, inner) {
  const { peers, from, to } = sector;
  const spots = [];
  let rows = 0;
  while (spots.length < peers.length) {
    const radius = inner + rows * spacing;
    // The ring is as large as just has room.
    const room = Math.max(1, Math.floor(((to - from) * radius) / spacing + 0.001));
    const here = Math.min(room, peers.length - spots.length);
    // A last row that is not full stands in the middle, as close as the others.
    const step = (to - from) / (rows === 0 ? here : room);
    const first = (from + to) / 2 - ((here - 1) / 2) * step;
    for (let n = 0; n < here; n += 1) {
      const angle = first + n * step;
      spots.push({ peer: peers[spots.length], x: radius * Math.cos(angle), y: radius * Math.sin(angle) });
    }
    rows += 1;
  }
  return { ...sector, spacing, rows, outer: inner + (rows - 1) * spacing, spots };
}

/** The outline of a sector between two radii. */
export function wedge(from, to, inner, outer) {
  const at = (angle, radius) => `${(radius * Math.cos(angle)).toFixed(1)} ${(radius * Math.sin(angle)).toFixed(1)}`;
  // A full turn begins and ends at the same point, and would be nothing.
  const end = Math.min(to, from + TURN - 0.001);
  const large = end - from > TURN / 2 ? 1 : 0;
  return `M${at(from, inner)}L${at(from, outer)}A${outer} ${outer} 0 ${large} 1 ${at(end, outer)}`
    + `L${at(end, inner)}A${inner} ${inner} 0 ${large} 0 ${at(from, inner)}Z`;
}
