-- The oldest schema whose programs may use the file after this step; null where only those may that
-- know the step.
alter table schema_version add column serves integer;
-- The machine that the file serves, and the run of it in which a process opened the file last; 0 where
-- it is not known.
alter table cluster_identity add column machine integer not null default 0;
alter table cluster_identity add column machine_run integer not null default 0;
