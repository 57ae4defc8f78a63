-- The oldest schema whose programs may use the database after this step; null where only those may that
-- know the step.
alter table schema_version add column serves bigint;
