SELECT version, pruned, history FROM reeve.route_version
