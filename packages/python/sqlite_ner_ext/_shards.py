def label_in_processes(*_):
    raise NotImplementedError
