// The integers of a tile from its bytes and back (FORMAT 6.3, 7): z, the index that follows from it, and r of whatever
// kind. Includes bank.h, scale_map.h and the standard library; must not include Python.
//
// READ ME FIRST
// - A residual kind is a class with `read`, `gather` and `write` (residual/*.h): nothing here knows which one.
// - A coder says how runs and the map are computed: `Fast`, or the twin of tests by the words of the document
//   (test/slow.h), with the same three names.
#ifndef LIC_TILE_H
#define LIC_TILE_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "bank.h"
#include "scale_map.h"

namespace lic {

// What a model is at a quality (FORMAT 7.1): what `Model::at` gives.
struct Setting {
    std::vector<std::int32_t> d;     // (C,) step of z, 1 to 255
    std::vector<std::int32_t> bias;  // of the map's channels
    std::size_t z_row;               // bank row of z channel 0 at its first level
    std::size_t levels;              // rows of each channel of z, FORMAT 7.4
    const std::uint16_t* z_level;    // (C, levels - 1), the model's
};

struct Fast {
    template <class Model, class Rows>
    static Status read(Reader& in, const Model& model, Rows rows, std::size_t n, std::int16_t* out) {
        return read_run(in, model, rows, n, out);
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
};

// A tile's stream as an encoder leaves it.
class Stream {
 public:
    std::size_t size() const { return stream_size(writer_, end_); }
    void copy(std::uint8_t* out) const { copy_stream(writer_, end_, out); }

    // Room for a word of every symbol and one more (write_step); the states of a checksum.
    Writer& start(std::size_t symbols, const Checksum& sum) {
        words_.reset(new std::uint16_t[symbols + 1]);
        std::uint16_t* const end = words_.get() + symbols + 1;
        begin(writer_, sum, end);
        end_ = end;
        return writer_;
    }

 private:
    std::unique_ptr<std::uint16_t[]> words_;
    const std::uint16_t* end_ = nullptr;
    Writer writer_{};
};

// FORMAT 7.4: the rows of channel c at its n positions.
inline void fill_z_rows(const Setting& q, std::size_t c, const std::uint16_t* activity, std::size_t n,
                        std::uint16_t* rows) {
    std::fill_n(rows, n, static_cast<std::uint16_t>(q.z_row + c * q.levels));
    const std::uint16_t* from = q.z_level + c * (q.levels - 1);
    for (std::size_t k = 0; k + 1 < q.levels; ++k) {
        for (std::size_t i = 0; i < n; ++i) rows[i] = static_cast<std::uint16_t>(rows[i] + (activity[i] >= from[k]));
    }
}

// A channel's n values added to the activity: at most LIC_ACTIVITY_MAX * LIC_CHANNELS_MAX in all.
inline void add_activity(const std::int16_t* z, std::size_t n, std::uint16_t* activity) {
    for (std::size_t i = 0; i < n; ++i) {
        const std::int32_t size = z[i] < 0 ? -z[i] : z[i];
        activity[i] = static_cast<std::uint16_t>(activity[i] + (size < LIC_ACTIVITY_MAX ? size : LIC_ACTIVITY_MAX));
    }
}

// The rows (C, a, b) of all of z, in the bank.
inline void all_z_rows(const Shape& s, const Setting& q, const std::int16_t* z, std::uint16_t* rows) {
    const std::size_t n = s.a * s.b;
    std::vector<std::uint16_t> activity(n);
    for (std::size_t c = 0; c < s.C; ++c) {
        fill_z_rows(q, c, activity.data(), n, rows + c * n);
        add_activity(z + c * n, n, activity.data());
    }
}

template <class Coder>
Status read_z(Reader& in, const Bank& bank, const Shape& s, const Setting& q, std::int16_t* z) {
    const std::size_t n = s.a * s.b;
    std::vector<std::uint16_t> rows(n), activity(n);
    for (std::size_t c = 0; c < s.C; ++c, z += n) {
        fill_z_rows(q, c, activity.data(), n, rows.data());
        const Status status = Coder::read(in, bank, static_cast<const std::uint16_t*>(rows.data()), n, z);
        if (status != Status::ok) return status;
        add_activity(z, n, activity.data());
    }
    return Status::ok;
}

template <class Coder>
void write_z(Writer& to, const Bank& bank, const Shape& s, const Setting& q, const std::int16_t* z) {
    const std::size_t n = s.a * s.b;
    const std::unique_ptr<std::uint16_t[]> rows(new std::uint16_t[s.z_size()]);
    all_z_rows(s, q, z, rows.get());
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
    return index;
}

// A tile's integers from its stream (FORMAT 7). z: (C, a, b), r: (M, h, w); both are without meaning unless the status
// is ok. Memory is bounded by the shape and not by any stream (and may throw std::bad_alloc).
template <class Coder, class Kind>
Outcome decode_tile(const Bank& bank, const ScaleMap& map, const Kind& kind, const Shape& s, const Setting& q,
                    const std::uint8_t* data, std::size_t size, std::int16_t* z, std::int16_t* r) {
    Reader in{};
    const auto outcome = [&](Status status) { return Outcome{status, static_cast<std::size_t>(in.front - data)}; };
    Status status = in.open(data, size);
    if (status == Status::ok) status = read_z<Coder>(in, bank, s, q, z);
    if (status != Status::ok) return outcome(status);
    const auto index = index_of_tile<Coder>(map, kind, s, q, z);
    typename Kind::Work work(s);
    Checksum sum;
    sum.add(z, s.z_size());
    status = kind.template read<Coder>(in, bank, s, index.get(), work, r, sum);
    return outcome(status == Status::ok ? in.close(sum.value()) : status);
}

// The stream of a tile: the inverse.
template <class Coder, class Kind>
Status encode_tile(const Bank& bank, const ScaleMap& map, const Kind& kind, const Shape& s, const Setting& q,
                   const std::int16_t* z, const std::int16_t* r, Stream& out) {
    const auto index = index_of_tile<Coder>(map, kind, s, q, z);
    typename Kind::Work work(s);
    Checksum sum;
    sum.add(z, s.z_size());
    const Status status = kind.gather(s, index.get(), r, work, sum);
    if (status != Status::ok) return status;
    Writer& to = out.start(s.z_size() + s.r_size(), sum);
    kind.template write<Coder>(to, bank, s, index.get(), r, work);
    write_z<Coder>(to, bank, s, q, z);
    return Status::ok;
}

}  // namespace lic

#endif
