"""Count of JAX's compilations: once a service is ready, there must be no more."""

_EVENT = "/jax/core/compile/backend_compile_duration"


class Compilations:
    """Programs that this process has compiled, or read from the compilation cache."""

    count = 0
    _listens = False

    @classmethod
    def listen(cls) -> None:
        """Count from now on."""
        if cls._listens:
            return
        from jax import monitoring

        monitoring.register_event_duration_secs_listener(cls._heard)
        cls._listens = True

    @classmethod
    def _heard(cls, event: str, duration_secs: float, **__: str | int) -> None:
        if event == _EVENT:
            cls.count += 1
