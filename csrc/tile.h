// The integers of a tile from its bytes and back (FORMAT 6.3, 7): z, the index that follows from it, and r of whatever
// kind. Includes bank.h, residual/given.h, scale_map.h and the standard library; must not include Python.
//
// READ ME FIRST
// - A residual kind is a class with `read`, `gather` and `write` (residual/*.h): nothing here knows which one.
// - A stream comes in stages (stages.h): z and the residuals of large scale first. It may be cut anywhere; what its
//   words do not tell is 0.
// - A coder says how runs and the map are computed: `Fast`, or the twin of tests by the words of the document
//   (test/slow.h), with the same names.
#ifndef LIC_TILE_H
#define LIC_TILE_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "bank.h"
#include "residual/given.h"
#include "scale_map.h"
#include "stages.h"
#include "z_rows.h"

namespace lic {

// What a model is at a quality (FORMAT 7.1), and in what stages its residuals stand: what `Model::at` gives.
struct Setting {
    std::vector<std::int32_t> d;     // (C,) step of z, 1 to 255
    std::vector<std::int32_t> bias;  // of the map's channels
    ZSetting z;
    Stages stages;
    std::vector<std::int8_t> shift{};  // (a, b) rows by which the quality map moves the scale index, or none
};

// FORMAT 7.5, the last line: what the quality map makes of indices (M, h, w), clamped to 0 ... values - 1.
inline void shift_index(const std::vector<std::int8_t>& shift, const Shape& s, std::int32_t values,
                        std::uint8_t* index) {
    if (shift.empty()) return;
    for (std::size_t line = 0; line < s.M * s.h; ++line, index += s.w) {
        const std::int8_t* by = shift.data() + line % s.h / kSide * s.b;
        for (std::size_t x = 0; x < s.w; ++x) {
            index[x] = static_cast<std::uint8_t>(std::clamp<std::int32_t>(index[x] + by[x / kSide], 0, values - 1));
        }
    }
}

struct Fast {
    template <class Model, class Rows>
    static Status read(Reader& in, const Model& model, Rows rows, std::size_t n, std::int16_t* out) {
        return read_run(in, model, rows, n, out);
    }
    template <class Model, class Rows>
    static Status read_in_order(Reader& in, const Model& model, Rows rows, std::size_t n, std::int16_t* out) {
        return read_run_in_order(in, model, rows, n, out);
    }
    template <class Model, class Rows>
    static void write(Writer& to, const Model& model, Rows rows, const std::int16_t* symbols, std::size_t n) {
        write_run(to, model, rows, symbols, n);
    }
    static void index(const ScaleMap& map, const std::int16_t* z, const Shape& s, const MapSetting& q,
                      std::uint8_t* out) {
        map.index(z, s, q, out);
    }
};

// What a decoder says: the status, and how far its words had come, in bytes.
struct Outcome {
    Status status;
    std::size_t at;
    bool cut = false;  // whether the stream ended before its symbols did, and was allowed to
};

// A tile's bytes: those of its stages one after the other, and where each of them ends.
struct Streamed {
    const std::uint8_t* data;
    const std::size_t* ends;  // (stages,), the last one being the size
    std::size_t size;
    bool may_end;  // whether it may break off: what is missing is 0
};

// A tile's stream as an encoder leaves it.
class Stream {
 public:
    std::size_t size() const { return stream_size(writer_, end_); }
    void copy(std::uint8_t* out) const { copy_stream(writer_, end_, out); }

    // Where a stage ends, in bytes.
    std::size_t end(std::size_t stage) const {
        return size() - static_cast<std::size_t>(end_ - after_[stage]) * kWordBytes;
    }

    // Room for all words of so many symbols, and one more (write_step); the states of a checksum.
    Writer& start(std::size_t symbols, const Checksum& sum) {
        const std::size_t room = kWordsMost * symbols + 1;
        words_.reset(new std::uint16_t[room]);
        std::uint16_t* const end = words_.get() + room;
        begin(writer_, sum, end);
        end_ = end;
        return writer_;
    }

    // Before a stage is written: what stands already comes after it.
    void mark(std::size_t stage) { after_[stage] = writer_.words; }

 private:
    std::unique_ptr<std::uint16_t[]> words_;
    const std::uint16_t *end_ = nullptr, *after_[LIC_STAGES_MAX] = {};
    Writer writer_{};
};

// z (C, a, b), which is 0 before, its symbols into the checksum. Where words end, what they tell.
template <class Coder>
Status read_z(Reader& in, const ZRows& bank, const Shape& s, const ZSetting& q, std::int16_t* z, Checksum& sum) {
    const std::size_t n = s.a * s.b;
    std::vector<std::uint16_t> activity(n);
    for (std::size_t c = 0; c < s.C; ++c, z += n) {
        const ZChannel channel(q, c, activity.data(), n, s.b);
        const Status status = channel.alone() ? Coder::read(in, bank, channel.rows(), n, z)
                                              : Coder::read_in_order(in, bank, ZRowsAhead{channel, z}, n, z);
        if (status != Status::ok) return status;
        sum.add(z, n);
        add_activity(z, n, activity.data());
    }
    return Status::ok;
}

template <class Coder>
void write_z(Writer& to, const ZRows& bank, const Shape& s, const ZSetting& q, const std::int16_t* z) {
    const std::size_t n = s.a * s.b;
    const std::unique_ptr<std::uint16_t[]> rows(new std::uint16_t[s.z_size()]);
    all_z_rows(bank, q, {s.C, s.a, s.b}, z, rows.get());
    for (std::size_t c = s.C; c-- > 0;) {
        Coder::write(to, bank, static_cast<const std::uint16_t*>(rows.get() + c * n), z + c * n, n);
    }
}

// The map's bytes for each r, `planes` of them, one plane behind the other.
template <class Coder, class Kind>
std::unique_ptr<std::uint8_t[]> index_of_tile(const ScaleMap& map, const Kind& kind, const Shape& s, const Setting& q,
                                              const std::int16_t* z) {
    const Shape wide{s.C, map.M(), s.a, s.b, s.h, s.w};
    std::unique_ptr<std::uint8_t[]> index(new std::uint8_t[wide.r_size()]);
    Coder::index(map, z, wide, {q.d.data(), q.bias.data(), kind.values()}, index.get());
    shift_index(q.shift, s, kind.values(), index.get());
    return index;
}

// The parts of a model that a tile's coding takes.
template <class Kind>
struct TileCoding {
    const Bank& bank;
    const ZRows& z_rows;
    const ScaleMap& map;
    const Kind& kind;
    const Setting& q;
};

// One stage: z in front of the first one's residuals.
template <class Coder, class Kind>
Status read_stage(Reader& in, const TileCoding<Kind>& p, const Shape& s, std::size_t stage,
                  std::unique_ptr<std::uint8_t[]>& index, typename Kind::Work& work, std::int16_t* z, std::int16_t* r,
                  Checksum& sum) {
    if (stage == 0) {
        const Status status = read_z<Coder>(in, p.z_rows, s, p.q.z, z, sum);
        if (status == Status::ok || status == Status::words_end) std::fill_n(r, s.r_size(), std::int16_t{0});
        if (status != Status::ok) return status;
        index = index_of_tile<Coder>(p.map, p.kind, s, p.q, z);
    }
    const IndexRange range = p.q.stages.range(stage, p.kind.skip());
    return p.kind.template read<Coder>(in, p.bank, s, range, index.get(), work, r, sum);
}

// A tile's integers from its stream (FORMAT 7). z: (C, a, b), r: (M, h, w); both are without meaning unless the status
// is ok. Memory is bounded by the shape and not by any stream (and may throw std::bad_alloc).
template <class Coder, class Kind>
Outcome decode_tile(const TileCoding<Kind>& p, const Shape& s, const Streamed& from, std::int16_t* z, std::int16_t* r) {
    Reader in{};
    const auto outcome = [&](Status status, bool cut = false) {
        return Outcome{status, static_cast<std::size_t>(in.front - from.data), cut};
    };
    Status status = in.open(from.data, from.ends[0]);
    if (status != Status::ok) return outcome(status);
    std::fill_n(z, s.z_size(), std::int16_t{0});
    typename Kind::Work work(s);
    std::unique_ptr<std::uint8_t[]> index;
    Checksum sum;
    for (std::size_t stage = 0; stage < p.q.stages.count; ++stage) {
        in.back = from.data + from.ends[stage];
        status = read_stage<Coder>(in, p, s, stage, index, work, z, r, sum);
        if (status == Status::words_end && from.may_end && from.ends[stage] == from.size) {
            return outcome(Status::ok, true);
        }
        if (status == Status::ok && in.front != in.back) status = Status::not_covered;
        if (status != Status::ok) return outcome(status);
    }
    return outcome(in.close(sum.value()));
}

// The stream of a tile: the inverse. given: intervals of r, if they are known, of a kind that takes them; what the map
// yields is then asked for where there are escapes.
template <class Coder, class Kind>
Status encode_tile(const TileCoding<Kind>& p, const Shape& s, const std::int16_t* z, const std::int16_t* r, Stream& out,
                   const Given* given = nullptr) {
    typename Kind::Work work(s);
    if constexpr (Kind::kTakesIntervals) work.given = given;
    std::unique_ptr<std::uint8_t[]> index;
    if (!Kind::kTakesIntervals || !given || given->escapes()) {
        index = index_of_tile<Coder>(p.map, p.kind, s, p.q, z);
    }
    Checksum sum;
    for (std::size_t c = 0; c < s.C; ++c) sum.add(z + c * s.a * s.b, s.a * s.b);
    const Status status = p.kind.gather(s, p.q.stages, index.get(), r, work, sum);
    if (status != Status::ok) return status;
    Writer& to = out.start(s.z_size() + s.r_size(), sum);
    for (std::size_t stage = p.q.stages.count; stage-- > 0;) {
        out.mark(stage);
        p.kind.template write<Coder>(to, p.bank, s, stage, index.get(), r, work);
    }
    write_z<Coder>(to, p.z_rows, s, p.q.z, z);
    return Status::ok;
}

}  // namespace lic

#endif
