use super::{
    super::{codec::Codec, notification::Notification},
    Update,
};
pub(crate) fn decode(_codec: &Codec, _message: &[u8]) -> Result<Update, Notification> {
    Ok(Update::default())
}
