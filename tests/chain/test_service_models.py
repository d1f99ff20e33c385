"""What loads a run's models for a service: by names that no two share, from the cache where that is asked for."""

from toy_encoder import ToyEncoder

from embedlab.chain import FromCache, service_models, service_name


class Counting(ToyEncoder):
    """Counts what it encodes anew; its cache is whatever it was asked before."""

    def __init__(self, name, seed=0):
        super().__init__(name, seed)
        self.known, self.anew = {}, 0

    def encode(self, texts, kind="document"):
        missing = [text for text in texts if text not in self.known]
        self.known.update(zip(missing, self.encode_uncached(missing, kind), strict=True))
        return [self.known[text] for text in texts]

    def encode_uncached(self, texts, kind="document"):
        self.anew += len(texts)
        return super().encode_uncached(texts, kind)


def test_models_of_one_name_are_told_apart_and_one_space_is_one_model():
    base, tuned = ToyEncoder("models/tuned"), ToyEncoder("tuned", seed=1)
    assert service_name(base) != service_name(tuned)
    assert service_name(base) == service_name(ToyEncoder("tuned"))


def test_a_service_gets_the_model_that_it_names():
    base, tuned = ToyEncoder("base"), ToyEncoder("tuned", seed=1)
    load = service_models(base, tuned)
    assert [load(service_name(model), "auto") for model in (base, tuned)] == [base, tuned]


def test_from_the_cache_nothing_is_encoded_twice_though_it_is_asked_for_anew():
    model = Counting("base")
    cached = service_models(model, cached=True)(service_name(model), "auto")
    first = cached.encode_uncached(["one", "two"])
    again = cached.encode_uncached(["two", "one"])
    assert model.anew == 2
    assert [v.tolist() for v in first] == [v.tolist() for v in reversed(again)]


def test_else_it_is_the_model():
    model = Counting("base")
    cached = FromCache(model)
    assert (cached.name, cached.identity, cached.seed) == ("base", model.identity, 0)
