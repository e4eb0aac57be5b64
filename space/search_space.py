class SearchSpace:
    pass
