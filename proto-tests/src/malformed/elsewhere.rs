//! Published incidents of BGP daemons, and those among them that no message on a BGP session of ours
//! can repeat, with the reason.

/// Every incident with a number that was looked at. Each is the source of a case, or in
/// [`ELSEWHERE`].
pub const INCIDENTS: &[&str] = &[
    "CVE-2010-1674",
    "CVE-2010-2948",
    "CVE-2010-2949",
    "CVE-2011-3327",
    "CVE-2012-0255",
    "CVE-2012-1820",
    "CVE-2013-6051",
    "CVE-2016-2342",
    "CVE-2016-4049",
    "CVE-2017-15865",
    "CVE-2017-16227",
    "CVE-2018-5378",
    "CVE-2018-5379",
    "CVE-2018-5380",
    "CVE-2018-5381",
    "CVE-2019-16159",
    "CVE-2022-36440",
    "CVE-2022-37032",
    "CVE-2022-40302",
    "CVE-2022-40318",
    "CVE-2022-43681",
    "CVE-2023-31489",
    "CVE-2023-31490",
    "CVE-2023-38283",
    "CVE-2023-38406",
    "CVE-2023-38407",
    "CVE-2023-38802",
    "CVE-2023-41358",
    "CVE-2023-41359",
    "CVE-2023-41360",
    "CVE-2023-41361",
    "CVE-2023-41909",
    "CVE-2023-46565",
    "CVE-2023-46752",
    "CVE-2023-46753",
    "CVE-2023-47234",
    "CVE-2023-47235",
    "CVE-2024-31948",
    "CVE-2024-31949",
    "CVE-2024-44070",
    "CVE-2024-55553",
    "CVE-2025-43970",
    "CVE-2025-43971",
    "CVE-2025-43972",
    "CVE-2025-43973",
    "CVE-2025-59688",
    "CVE-2026-30405",
    "CVE-2026-37461",
    "CVE-2026-37462",
    "CVE-2026-41642",
    "CVE-2026-41643",
    "CVE-2026-42285",
    "CVE-2026-49943",
];

/// Incidents of code that Redstart does not have, each with that code.
pub const ELSEWHERE: &[(&str, &str)] = &[
    (
        "CVE-2024-55553",
        "revalidation of all routes by RPKI: there is no RPKI",
    ),
    ("CVE-2025-43970", "the reader of MRT files: none is read"),
    (
        "CVE-2025-43972",
        "the reader of flow specifications: the family is never offered; `flowspec-overruns` shows what \
         its routes come to",
    ),
    (
        "CVE-2025-43973",
        "the RTR protocol of RPKI caches: it is not spoken",
    ),
    (
        "FRR issues 22042, 22043",
        "transposition of SRv6 SIDs and text of labels: no labelled family is ever offered",
    ),
    (
        "FRR issues 22044, 22045",
        "mirroring to BMP stations: there is no BMP",
    ),
];
