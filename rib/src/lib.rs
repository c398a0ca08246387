//! Routing information bases for Redstart.
