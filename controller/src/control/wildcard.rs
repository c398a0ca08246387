//! Patterns with wildcards, of whatever they are made: characters of a name, hops of an AS path.

/// Whether `text` fits `pattern` from end to end. A part of which `is_any` holds takes any number of
/// elements; each other one takes one that it `fits`.
///
/// A wildcard takes as few as it can at first; when what follows does not fit, the last one takes one
/// more. That is enough, and never takes longer than both lengths multiplied.
pub(super) fn matches<P, T>(
    pattern: &[P],
    text: &[T],
    is_any: impl Fn(&P) -> bool,
    fits: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut last_any = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(part) if is_any(part) => {
                last_any = Some((p, t));
                p += 1;
            }
            Some(part) if fits(part, &text[t]) => (p, t) = (p + 1, t + 1),
            _ => match &mut last_any {
                Some((any, taken)) => {
                    *taken += 1;
                    (p, t) = (*any + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(is_any)
}
