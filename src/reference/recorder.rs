//! Streams chosen rows of a long run to a trajectory file.
