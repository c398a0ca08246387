//! What the kernel has.

use redstart_rib::fib::{KernelError, OpError, errno};

use super::*;

/// The kernel refused the route with this error.
fn refused(world: &mut World, errno: i32) {
    parked(world, OpError::Refused(KernelError::new(errno)).into());
}

fn parked(world: &mut World, why: ParkReason) {
    world
        .learn(TOR, |_| {})
        .in_kernel(InstallState::Parked(why));
}

pub(super) fn states() -> Vec<Situation> {
    situations! {
        NET, TOR2, "kernel: installed\n    via 10.0.0.1 on eth0\n",
            |w| w.learn(TOR, |_| {}).in_kernel(InstallState::Installed);
        NET, TOR2, "via 10.0.0.1 on eth0, which does not answer (ARP, Neighbour Discovery)\n",
            |w| w.learn(TOR, |_| {}).in_kernel(InstallState::Installed).silent = true;
        NET, TOR2, "kernel: installed\n    blackhole\n",
            |w| w.own(&[]).in_kernel(InstallState::Installed).wanted = KernelRoute::blackhole();
        NET, TOR2, "kernel: pending\n", |w| w.learn(TOR, |_| {}).in_kernel(InstallState::Pending);
        NET, TOR2, "kernel: pending [kernel-unreachable]: the kernel is not reachable: no socket\n",
            |w| w.learn(TOR, |_| {}).in_kernel(InstallState::Pending).unreachable = Some("no socket");
        NET, TOR2, "kernel: stale\n", |w| w.learn(TOR, |_| {}).in_kernel(InstallState::Stale);
        NET, TOR2, "kernel: not-wanted [not-yet]: it has not been handed over yet\n",
            |w| w.learn(TOR, |_| {});
        NET, TOR2, "kernel: not-wanted [not-asked-for]: BGPConfiguration keeps routes out",
            |w| w.learn(TOR, |_| {}).desired.kernel.install = false;
        NET, TOR2, "kernel: not-wanted [own-route]: it is our own", |w| w.own(&[]);
        NET, TOR2, "kernel: not-wanted [no-usable-path]: no path can be used",
            |w| w.learn(TOR, |a| a.next_hop = None);
    }
}

pub(super) fn reasons() -> Vec<Situation> {
    situations! {
        NET, TOR2, "kernel: parked [foreign-route]: a route to the same prefix exists that is not \
                    ours (proto static metric 7)\n",
            |w| parked(w, ParkReason::ForeignRoute { protocol: 4, metric: 7 });
        NET, TOR2, "kernel: parked [route-exists]: the kernel has an unknown route of the same key\n",
            |w| refused(w, errno::EEXIST);
        NET, TOR2, "kernel: parked [no-such-interface]: the interface does not exist\n",
            |w| refused(w, errno::ENODEV);
        NET, TOR2, "kernel: parked [link-down]: the interface is down\n",
            |w| refused(w, errno::ENETDOWN);
        NET, TOR2, "kernel: parked [gateway-unreachable]: the gateway is on no link of this node\n",
            |w| refused(w, errno::ENETUNREACH);
        NET, TOR2, "kernel: parked [gateway-unreachable]: ", |w| refused(w, errno::EHOSTUNREACH);
        NET, TOR2, "kernel: parked [permission-denied]: not permitted to change routes \
                    (CAP_NET_ADMIN is missing)\n",
            |w| refused(w, errno::EPERM);
        NET, TOR2, "kernel: parked [kernel-busy]: the kernel is short of memory; tried again soon (errno 12)\n",
            |w| refused(w, errno::ENOMEM);
        NET, TOR2, "kernel: parked [kernel-busy]: the kernel is busy; tried again soon (errno 16)\n",
            |w| refused(w, errno::EBUSY);
        NET, TOR2, "kernel: parked [no-reply]: the kernel did not answer; tried again soon\n",
            |w| parked(w, OpError::Lost.into());
        NET, TOR2, "kernel: parked [kernel-refused]: the kernel refused: the kernel gave no reason (errno 22)\n",
            |w| refused(w, errno::EINVAL);
    }
}

#[test]
fn what_the_kernel_has_is_the_last_step() {
    check(&states());
    check(&reasons());
}
