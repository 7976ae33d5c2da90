"""What a store holds: kinds of records, the schema-neutral view of one record, times. Imports nothing of ours."""
