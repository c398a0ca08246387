//! What glibc's allocator is told, so that a speaker stays small. Other allocators are left alone.

/// Before there is a second thread. One arena: there is next to nothing that threads allocate at the
/// same time, and with one for each of them what one frees is of no use to the others. And large blocks
/// come from the kernel and go back to it: glibc would take those that tables leave behind when they grow
/// for a sign that it need not, and keep them.
pub fn tune() {
    #[cfg(target_env = "gnu")]
    set([
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, 4 * LARGE),
    ]);
}

/// Gives back to the kernel what is free and scattered: after something that took much for a while.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    trim();
}

#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 1 << 20;

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
fn set<const N: usize>(options: [(libc::c_int, libc::c_int); N]) {
    for (option, value) in options {
        // SAFETY: sets a number of the allocator.
        unsafe { libc::mallopt(option, value) };
    }
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]
fn trim() {
    // SAFETY: takes no pointers, and may be called at any time by any thread.
    unsafe { libc::malloc_trim(0) };
}
