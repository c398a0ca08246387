//! Passwords of sessions (TCP-MD5, RFC 2385), and keys of the TCP Authentication Option (RFC 5925).

use super::{AoAlgorithm, AoKey, Password};
use crate::{
    api::{SecretKeyRef, TcpAoAlgorithm, TcpAoKeySpec},
    diagnostic::Diagnostic,
    index::Objects,
    object::ObjectRef,
};

/// Some password was asked for and there is none: the session must not run without.
#[derive(Debug)]
pub(super) struct PasswordMissing;

/// The password that `wanted` names, or `None` where none is asked for. One that its Secret does not have
/// any more holds until there is another one: that is said, and ends no session.
pub(super) fn resolve(
    objects: &Objects,
    wanted: Option<&SecretKeyRef>,
    object: &ObjectRef,
    field: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<Password>, PasswordMissing> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    let last = || objects.last_password(wanted);
    let used = objects.password(wanted).or_else(|(reason, message)| {
        let consequence = match last() {
            Some(_) => "the last good one stays in force",
            None => "no session runs without its password",
        };
        let message = format!("{message}; {consequence}");
        diagnostics.push(Diagnostic::error(object.clone(), field, reason, message));
        last().ok_or(PasswordMissing)
    });
    used.map(|password| Some(Password(password.to_owned())))
}

/// The keys that `wanted` names: all of them, or there is no session.
pub(super) fn keys(
    objects: &Objects,
    wanted: &[TcpAoKeySpec],
    object: &ObjectRef,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Vec<AoKey>, PasswordMissing> {
    let mut keys = Vec::new();
    for (i, key) in wanted.iter().enumerate() {
        let field = format!("spec.tcpAO[{i}].secretRef");
        let secret = resolve(objects, Some(&key.secret_ref), object, &field, diagnostics)?;
        keys.extend(secret.map(|secret| AoKey {
            send_id: key.send_id,
            receive_id: key.receive_id,
            algorithm: match key.algorithm {
                TcpAoAlgorithm::HmacSha1 => AoAlgorithm::HmacSha1,
                TcpAoAlgorithm::AesCmac => AoAlgorithm::AesCmac,
            },
            secret,
        }));
    }
    Ok(keys)
}
