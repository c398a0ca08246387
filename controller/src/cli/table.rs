//! Every command there is: the one table that parser, help, completion and man page are made from.

use super::{
    command::{Command, RouteSelect, Routes},
    grammar::{
        Arg, Given, Spec,
        Value::{Address, Condition, Destination, File, Level, Path, Peer, Peers, Prefix, Text},
        prefix,
    },
};
use crate::control::Operation;

/// The commands, in the order of the help.
pub const COMMANDS: &[Spec] = &[
    Spec {
        words: &["show", "status"],
        args: &[],
        about: "the daemon at a glance",
        more: "",
        build: |_| Command::Status,
    },
    Spec {
        words: &["show", "protocols"],
        args: &[
            Arg::flag("all", "with everything that is known of each"),
            Arg::value(Peer, "just this one"),
        ],
        about: "the neighbours",
        more: "",
        build: |given| Command::Protocols {
            all: given.has("all"),
            name: given.alone(),
        },
    },
    Spec {
        words: &["show", "route"],
        args: &[
            Arg::value(Prefix, "to exactly this destination"),
            Arg::option("for", Address, "the one that packets to this address take"),
            Arg::option("in", Prefix, "to destinations within this one"),
            Arg::option("protocol", Peer, "from this neighbour, or local"),
            Arg::option("export", Peer, "that this neighbour was told"),
            Arg::option("noexport", Peer, "that this neighbour was not told"),
            Arg::option(
                "where",
                Condition,
                "for which this holds, as in BIRD's filters",
            ),
            Arg::flag("filtered", "that were refused, and why"),
            Arg::flag("count", "how many there are"),
            Arg::flag("all", "with every attribute"),
        ],
        about: "the routing table",
        more: "Options narrow down what is shown; of PREFIX, for and in, one counts. Up to 4096 \
               destinations come in order; a larger table comes in the order that it is held in. count \
               leaves out what was refused, unless filtered asks for just that.",
        build: routes,
    },
    Spec {
        words: &["show", "kernel"],
        args: &[],
        about: "routes in the kernel, and why some are not",
        more: "",
        build: |_| Command::Kernel,
    },
    Spec {
        words: &["show", "services"],
        args: &[],
        about: "addresses of Services, and why some are not advertised",
        more: "",
        build: |_| Command::Services,
    },
    Spec {
        words: &["show", "bfd"],
        args: &[Arg::flag("sessions", "as in birdc; there is nothing else")],
        about: "the neighbours whose path is watched",
        more: "",
        build: |_| Command::Bfd,
    },
    Spec {
        words: &["show", "bmp"],
        args: &[],
        about: "the monitoring stations, and how far each was told",
        more: "",
        build: |_| Command::Bmp,
    },
    Spec {
        words: &["show", "mrt"],
        args: &[],
        about: "the log of messages in MRT files, and what of it is lost",
        more: "",
        build: |_| Command::MrtLogs,
    },
    Spec {
        words: &["explain"],
        args: &[
            Arg::value(Destination, "what to explain").required(),
            Arg::option("to", Peers, "just what this neighbour is told"),
        ],
        about: "why a destination is or is not advertised, best, and in the kernel",
        more: "Step by step, with the reason at each: the Kubernetes object, what asks for it to be \
               advertised, the best path and in which step others lost to it, export rules, what is on \
               the wire, the kernel. An address is explained by the route that its packets take, a \
               prefix by itself.",
        build: |given| Command::Explain {
            what: given.alone().unwrap_or_default(),
            to: given.of("to").map(pattern),
        },
    },
    Spec {
        words: &["why-down"],
        args: &[Arg::value(Peer, "which neighbour").required()],
        about: "why there is no session with a neighbour, and what to do",
        more: "From the last errors both ways, what TCP saw and what the kernel dropped without a word \
               (keys, TTL); with the capabilities that are offered and agreed on.",
        build: |given| Command::WhyDown {
            peer: given.alone().unwrap_or_default(),
        },
    },
    Spec {
        words: &["history"],
        args: &[Arg::value(Peer, "just this one")],
        about: "what happened to the neighbours lately",
        more: "State changes, messages received and what operators did: the last 256 entries, in which \
               what repeats itself is one. Of all neighbours, the last 500 without UPDATEs.",
        build: |given| Command::History {
            peer: given.alone(),
        },
    },
    Spec {
        words: &["capture"],
        args: &[
            Arg::value(Peer, "whose connections").required(),
            Arg::option("-w", File, "the file to write; - for standard output").required(),
        ],
        about: "what goes over a neighbour's connections as pcap, until interrupted",
        more: "For tcpdump, tshark and redc decode. The octets are those of the connections, the packets \
               around them are made up. Begins at once, where messages begin. The session waits for no \
               reader: one that is too slow is told that this was all.",
        build: |given| Command::Capture {
            peer: given.alone().unwrap_or_default(),
            file: given.of("-w").unwrap_or_default().into(),
        },
    },
    Spec {
        words: &["watch"],
        args: &[],
        about: "states and numbers of routes as they change, until interrupted",
        more: "",
        build: |_| Command::Watch,
    },
    Spec {
        words: &["top"],
        args: &[],
        about: "the neighbours with the most to do, until interrupted",
        more: "Where the output is no terminal, there is one frame.",
        build: |_| Command::Top,
    },
    Spec {
        words: &["validate"],
        args: &[Arg::value(Path, "manifests").required()],
        about: "what is wrong with manifests, without a daemon",
        more: "They are read and compiled as the speaker does, for each Node among them.",
        build: |given| Command::Validate {
            path: given.alone().unwrap_or_default().into(),
        },
    },
    Spec {
        words: &["diff"],
        args: &[Arg::value(Path, "manifests").required()],
        about: "what would change if manifests were applied",
        more: "On top of the objects that are in force, which stay as they are. Which session would \
               reset is decided by the code that resets sessions.",
        build: |given| Command::Diff {
            path: given.alone().unwrap_or_default().into(),
        },
    },
    Spec {
        words: &["decode"],
        args: &[
            Arg::value(Text, "hex, a capture (pcap), an MRT file or plain messages").required(),
        ],
        about: "BGP messages as text, octet by octet, with the verdict of RFC 7606",
        more: "Without a daemon.",
        build: |given| Command::Decode {
            input: given.alone().unwrap_or_default(),
        },
    },
    Spec {
        words: &["dump", "mrt"],
        args: &[Arg::value(File, "the file to write; - for standard output").required()],
        about: "the routing table as an MRT file, for bgpdump and the like",
        more: "As RFC 6396 and RFC 8050 have it. Every path that was not refused, as policies made it. The file takes its name when it is \
               whole.",
        build: |given| Command::DumpMrt {
            file: given.alone().unwrap_or_default().into(),
        },
    },
    Spec {
        words: &["log"],
        args: &[Arg::value(Level, "how much, or default").required()],
        about: "how much the daemon logs, until it starts anew",
        more: "",
        build: |given| Command::Log {
            level: given.alone().unwrap_or_default(),
        },
    },
    Spec {
        words: &["reload"],
        args: &[
            Arg::flag("in", "ask the neighbour for its routes again (RFC 2918)"),
            Arg::flag("out", "tell the neighbour every route again"),
            Arg::value(Peers, "whose session").required(),
        ],
        about: "have routes told again, both ways unless one is said",
        more: "The session stays.",
        build: |given| {
            operate(
                match (given.has("in"), given.has("out")) {
                    (true, false) => Operation::ReloadIn,
                    (false, true) => Operation::ReloadOut,
                    _ => Operation::Reload,
                },
                given,
            )
        },
    },
    Spec {
        words: &["disable"],
        args: &[Arg::value(Peers, "whose session").required()],
        about: "end a session and stay down",
        more: "Until it is enabled, or the daemon starts anew: the objects are what lasts.",
        build: |given| operate(Operation::Disable, given),
    },
    Spec {
        words: &["enable"],
        args: &[Arg::value(Peers, "whose session").required()],
        about: "take a disable back",
        more: "",
        build: |given| operate(Operation::Enable, given),
    },
    Spec {
        words: &["restart"],
        args: &[Arg::value(Peers, "whose session").required()],
        about: "end a session and dial again",
        more: "",
        build: |given| operate(Operation::Restart, given),
    },
    Spec {
        words: &["drain"],
        args: &[],
        about: "relieve this node of traffic, by the annotation of its Node",
        more: "",
        build: |_| Command::Drain,
    },
    Spec {
        words: &["undrain"],
        args: &[],
        about: "take a drain back",
        more: "",
        build: |_| Command::Undrain,
    },
    Spec {
        words: &["help"],
        args: &[],
        about: "every command",
        more: "",
        build: |_| Command::Help,
    },
];

fn routes(given: &Given<'_>) -> Command {
    let address = given.of("for").and_then(|a| a.parse().ok());
    let exact = given.alone().as_deref().and_then(prefix);
    let within = given.of("in").as_deref().and_then(prefix);
    let select = match (address, exact, within) {
        (Some(address), _, _) => RouteSelect::For(address),
        (None, Some(prefix), _) => RouteSelect::Exact(prefix),
        (None, None, Some(prefix)) => RouteSelect::In(prefix),
        (None, None, None) => RouteSelect::All,
    };
    Command::Routes(Routes {
        select,
        protocol: given.of("protocol"),
        export: given.of("export"),
        noexport: given.of("noexport"),
        condition: given.of("where"),
        filtered: given.has("filtered"),
        count: given.has("count"),
        all: given.has("all"),
    })
}

fn operate(what: Operation, given: &Given<'_>) -> Command {
    let peer = pattern(given.alone().unwrap_or_default());
    Command::Operate { what, peer }
}

/// `all` is every neighbour.
fn pattern(peer: String) -> String {
    if peer == "all" { "*".to_owned() } else { peer }
}
