//! The words of the house as types: ids, manifest, grant, pipeline file, schema, batch, fault, limits, ports. Pure.
