//! What the kernel is given back, so that a speaker stays small: free memory, where glibc's allocator is
//! asked for it, and pages of the program that were needed once.

use std::time::Duration;

/// How often pages of the program go.
const BETWEEN: Duration = Duration::from_secs(10);

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
    program::unmap();
}

/// Lets the pages of the program go again and again. What runs at a time lies all over the program, and
/// the kernel maps 64 KiB around each page that is needed: after a day, nearly all of it. What is still
/// needed comes back from the page cache, in some hundred faults without a read from the disk.
pub async fn unmap_program() {
    loop {
        tokio::time::sleep(BETWEEN).await;
        program::unmap();
    }
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

/// The program's own pages, and those of its libraries.
mod program {
    use core::{ffi::c_int, ptr};

    use libc::{PF_W, PT_LOAD, c_void, dl_phdr_info, size_t};

    /// Unmaps what nobody can have written to: code and constants.
    #[expect(unsafe_code, reason = "dl_iterate_phdr has no safe wrapper")]
    pub(super) fn unmap() {
        // SAFETY: the callback is of the type that is asked for, and uses no data.
        unsafe { libc::dl_iterate_phdr(Some(unmap_object), ptr::null_mut()) };
    }

    #[expect(unsafe_code, reason = "the callback of dl_iterate_phdr")]
    unsafe extern "C" fn unmap_object(
        object: *mut dl_phdr_info,
        _size: size_t,
        _data: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader hands over a valid description, with as many headers as it says.
        let (base, headers) = unsafe {
            let object = &*object;
            let count = usize::from(object.dlpi_phnum);
            let headers = core::slice::from_raw_parts(object.dlpi_phdr, count);
            (object.dlpi_addr, headers)
        };
        for header in headers {
            // Relocated constants are in a segment that is writable by its header.
            if header.p_type == PT_LOAD && header.p_flags & PF_W == 0 {
                let start = base + header.p_vaddr;
                unmap_between(start, start + header.p_memsz);
            }
        }
        0
    }

    /// Whole pages only.
    #[expect(unsafe_code, reason = "madvise has no safe wrapper")]
    fn unmap_between(start: u64, end: u64) {
        let page = rustix::param::page_size() as u64;
        let (start, end) = (start.next_multiple_of(page), end - end % page);
        if let (Ok(start), Ok(length)) = (
            usize::try_from(start),
            usize::try_from(end.saturating_sub(start)),
        ) {
            // SAFETY: a private mapping of a file that was never written to is read from the file again.
            // Where it is no such mapping, as the kernel's own, the call fails or changes nothing.
            unsafe { libc::madvise(start as *mut c_void, length, libc::MADV_DONTNEED) };
        }
    }
}
