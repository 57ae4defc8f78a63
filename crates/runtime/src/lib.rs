//! Quarry's runner: routes, admits, hosts entities, commits, hands off.
