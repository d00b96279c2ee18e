//! What safe Rust cannot make, and another language can. None of it is looked at here: it is handed to the host, which
//! must not believe it.

/// More than its memory holds.
const GIBIBYTE: usize = 1 << 30;
/// An address outside its memory.
const OUTSIDE: usize = 0xffff_fff0;

/// A list that says it has a gibibyte, from somewhere in its memory on. Never to be dropped.
#[allow(
    unsafe_code,
    clippy::same_length_and_capacity,
    reason = "a lie about a length"
)]
pub fn gibibyte<T>() -> Vec<T> {
    let count = GIBIBYTE / size_of::<T>();
    let start = std::ptr::NonNull::<u64>::dangling().cast::<T>().as_ptr();
    // SAFETY: deliberately broken; whoever is handed it must refuse it.
    unsafe { Vec::from_raw_parts(start, count, count) }
}

/// The same as text.
#[allow(unsafe_code, reason = "a lie about a length")]
pub fn gibibyte_text() -> String {
    // SAFETY: as above.
    unsafe { String::from_utf8_unchecked(gibibyte()) }
}

/// Text that is none.
#[allow(unsafe_code, reason = "a lie about text")]
pub fn not_utf8() -> String {
    // SAFETY: deliberately broken; the bytes are only handed to the host.
    unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe]) }
}

/// Reads what is not its own.
#[allow(unsafe_code, reason = "a trap")]
pub fn read_outside() -> u64 {
    // SAFETY: deliberately broken; the sandbox ends it.
    unsafe { std::ptr::read_volatile(std::hint::black_box(OUTSIDE) as *const u64) }
}

/// Calls what is no function.
#[allow(unsafe_code, reason = "a trap")]
pub fn call_outside() {
    // SAFETY: deliberately broken; the sandbox ends it.
    let function: fn() = unsafe { std::mem::transmute(std::hint::black_box(OUTSIDE)) };
    function();
}
