"""Our flags behind OpenFeature's client API. The only place that imports its SDK (extra `openfeature`)."""
