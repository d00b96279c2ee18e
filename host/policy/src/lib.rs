//! Every access decision, and every report about access. Pure.
